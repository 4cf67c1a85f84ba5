//go:build !box

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts checks a box's host key against OpenSSH's files. A box that is in
// none of them is not taken before meet has asked about it: not during the
// handshake, for which the box has a limit.
type knownHosts struct {
	ctx     context.Context
	own     string // ~/.ssh/known_hosts
	typed   string
	against ssh.HostKeyCallback
	err     error         // why a key was not taken
	unknown ssh.PublicKey // a key that is to be asked about
	met     ssh.PublicKey // one that was
}

// knownHosts reads the files.
func (l *link) knownHosts(ctx context.Context) (*knownHosts, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	k := &knownHosts{ctx: ctx, own: filepath.Join(home, ".ssh", "known_hosts"), typed: l.typed}
	var files []string
	for _, file := range []string{k.own, "/etc/ssh/ssh_known_hosts"} {
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("known hosts: %w", err)
		}
	}
	if k.against, err = knownhosts.New(files...); err != nil {
		return nil, &sshError{fmt.Sprintf("known hosts: %v", err), err}
	}
	return k, nil
}

// algorithms are those of the keys that are known for the box, which then has
// to show one of these; nil is any.
func (k *knownHosts) algorithms(address string) []string {
	var known *knownhosts.KeyError
	// A key that nobody has: the answer names those that are known.
	probe, err := ssh.NewPublicKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil || !errors.As(k.against(address, &net.TCPAddr{IP: net.IPv4zero}, probe), &known) {
		return nil
	}
	var algorithms []string
	for _, w := range known.Want {
		if t := w.Key.Type(); t == ssh.KeyAlgoRSA {
			algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			algorithms = append(algorithms, t)
		}
	}
	return algorithms
}

// check is an ssh.HostKeyCallback.
func (k *knownHosts) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := k.against(address, remote, key)
	var unknown *knownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &unknown):
		k.err = &sshError{fmt.Sprintf("the host key of %s: %v", k.typed, err), err}
	case len(unknown.Want) > 0:
		w := unknown.Want[0]
		k.err = &sshError{fmt.Sprintf("the box at %s shows another host key than before: %s, known is %s (%s:%d).\n"+
			"Somebody may be listening in, or the box has a new data partition: compare with `services logs remote` on its console.\n"+
			"To forget the old key: ssh-keygen -R '%s'",
			k.typed, ssh.FingerprintSHA256(key), ssh.FingerprintSHA256(w.Key), w.Filename, w.Line, knownhosts.Normalize(address)), err}
	case k.met != nil && bytes.Equal(k.met.Marshal(), key.Marshal()):
		return nil // though the file did not keep it
	default:
		k.unknown = key
		k.err = &sshError{fmt.Sprintf("the box at %s is not known", k.typed), err}
	}
	return k.err
}

// meet asks whether to trust a box that is met for the first time, and
// remembers it.
func (k *knownHosts) meet(address string, key ssh.PublicKey) error {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return &sshError{fmt.Sprintf("the box at %s is not in %s (its key: %s), and there is no terminal to ask; connect once by hand", k.typed, k.own, ssh.FingerprintSHA256(key)), err}
	}
	defer tty.Close()
	fmt.Fprintf(tty, "The box at %s is not known here. Its %s host key is\n  %s\n(its console tells it: services logs remote)\nTrust it? [yes/no] ", k.typed, strings.TrimPrefix(key.Type(), "ssh-"), ssh.FingerprintSHA256(key))
	input, err := newInterruptibleReader(tty) // by Ctrl-C, too
	if err != nil {
		return err
	}
	defer input.close()
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(input).ReadString('\n') // the terminal's end is no yes
		answers <- line
	}()
	select {
	case line := <-answers:
		if strings.TrimSpace(strings.ToLower(line)) != "yes" {
			return &sshError{fmt.Sprintf("the box at %s is not trusted", k.typed), nil}
		}
	case <-k.ctx.Done():
		input.interrupt()
		<-answers
		return k.ctx.Err()
	}
	if err := k.remember(address, key); err != nil {
		return &sshError{fmt.Sprintf("remembering the box's key: %v", err), err}
	}
	return nil
}

// remember adds a line to ~/.ssh/known_hosts.
func (k *knownHosts) remember(address string, key ssh.PublicKey) error {
	if err := os.MkdirAll(filepath.Dir(k.own), 0o700); err != nil {
		return err
	}
	line := knownhosts.Line([]string{knownhosts.Normalize(address)}, key) + "\n"
	text, err := os.ReadFile(k.own)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		line = "\n" + line
	}
	f, err := os.OpenFile(k.own, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
