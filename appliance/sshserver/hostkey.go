package sshserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/crypto/ssh"
)

// HostKey reads the box's Ed25519 host key from a file, in OpenSSH's format,
// that only root may read. It makes key, file and folder when there is none;
// the key it returns is then on disk. A file that holds no key is an error: the
// box must not change its identity by itself.
func HostKey(path string) (ssh.Signer, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeHostKey(path, syncFolder)
	}
	if err != nil {
		return nil, fmt.Errorf("ssh host key: %w", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("ssh host key %s: %w; restore it from a copy, or remove the file for a new key", path, err)
	}
	return key, nil
}

// makeHostKey makes a key, and has its name and its folder's on the medium by
// sync: a key that clients have seen must not be gone at the next boot.
func makeHostKey(path string, sync func(folder string) error) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ssh host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, fmt.Errorf("ssh host key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("ssh host key: %w", err)
	}
	if err := renameio.WriteFile(path, pem.EncodeToMemory(block), 0o600, renameio.IgnoreUmask()); err != nil {
		return nil, fmt.Errorf("ssh host key: %w", err)
	}
	for _, folder := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := sync(folder); err != nil {
			return nil, fmt.Errorf("ssh host key: %w", err)
		}
	}
	return ssh.NewSignerFromSigner(private)
}

// syncFolder has the names in a folder on the medium.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// hostSigner is a host key that tells before it signs.
type hostSigner struct {
	ssh.Signer
	before func()
}

// Sign implements ssh.Signer.
func (h *hostSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	h.before()
	return h.Signer.Sign(rand, data)
}
