//go:build !box

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/term"
)

// identityFiles are the keys in ~/.ssh that OpenSSH tries, in its order.
var identityFiles = []string{"id_rsa", "id_ecdsa", "id_ed25519"}

// keyRing is what we may show to a box: ssh-agent's keys, then files'.
type keyRing struct {
	signers []ssh.Signer
	names   []string
	agent   net.Conn
	locked  []*lockedKey
}

func (k *keyRing) close() {
	if k.agent != nil {
		k.agent.Close()
	}
}

// String names the keys.
func (k *keyRing) String() string { return strings.Join(k.names, ", ") }

// wanted is a locked key that the box would take; nil if there is none.
func (k *keyRing) wanted() *lockedKey {
	for _, l := range k.locked {
		if l.wanted && l.signer == nil {
			return l
		}
	}
	return nil
}

func (k *keyRing) add(s ssh.Signer, name string) {
	public := string(s.PublicKey().Marshal())
	for _, have := range k.signers {
		if string(have.PublicKey().Marshal()) == public {
			return // the agent has it too, and needs no passphrase
		}
	}
	k.signers, k.names = append(k.signers, s), append(k.names, name)
}

// keys collects the keys. Those under a passphrase are opened when the box
// would take them.
func (l *link) keys() (*keyRing, error) {
	ring := &keyRing{}
	if l.identity == "" {
		ring.addAgent()
	}
	files := []string{l.identity}
	home, err := os.UserHomeDir()
	if l.identity == "" {
		files = nil
		for _, name := range identityFiles {
			if err == nil {
				files = append(files, filepath.Join(home, ".ssh", name))
			}
		}
	}
	for _, file := range files {
		if err := ring.addFile(file, l.env); err != nil {
			if l.identity == "" && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			ring.close()
			return nil, &sshError{fmt.Sprintf("key %s: %v", file, rootCause(err)), err}
		}
	}
	if len(ring.signers) == 0 {
		ring.close()
		return nil, &sshError{"there is no SSH key to show to the box: none in ssh-agent, none in ~/.ssh; `ssh-keygen -t ed25519` makes one, --identity FILE names another", nil}
	}
	return ring, nil
}

// addAgent adds what ssh-agent holds, if it runs.
func (k *keyRing) addAgent() {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return // as ssh does: an agent that is gone has no keys
	}
	k.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return
	}
	for _, s := range signers {
		k.add(s, "ssh-agent's "+ssh.FingerprintSHA256(s.PublicKey()))
	}
}

func (k *keyRing) addFile(file string, env *environment) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.add(signer, file)
		return nil
	case !errors.As(err, &locked):
		return err
	}
	public := locked.PublicKey // older formats do not tell it
	if public == nil {
		line, err := os.ReadFile(file + ".pub")
		if err != nil {
			return fmt.Errorf("it has a passphrase, and its public half is not beside it: %w", err)
		}
		if public, _, _, _, err = ssh.ParseAuthorizedKey(line); err != nil {
			return fmt.Errorf("%s.pub: %w", file, err)
		}
	}
	l := &lockedKey{file: file, text: text, public: public, env: env}
	before := len(k.signers)
	if k.add(l, file); len(k.signers) > before {
		k.locked = append(k.locked, l)
	}
	return nil
}

// passphraseTries is how often a passphrase is asked for.
const passphraseTries = 3

// errLocked is a locked key's answer to a first signature.
var errLocked = errors.New("the key has a passphrase")

// lockedKey is a private key under a passphrase. It does not sign, and notes
// that it was wanted, until it is unlocked: not during the handshake, for which
// the box has a limit.
type lockedKey struct {
	file   string
	text   []byte
	public ssh.PublicKey
	env    *environment
	signer ssh.Signer
	wanted bool
}

var _ ssh.AlgorithmSigner = (*lockedKey)(nil)

// PublicKey implements ssh.Signer.
func (l *lockedKey) PublicKey() ssh.PublicKey { return l.public }

// Sign implements ssh.Signer.
func (l *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return l.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (l *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if l.signer == nil {
		l.wanted = true
		return nil, errLocked
	}
	if s, ok := l.signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return l.signer.Sign(rand, data)
}

// unlock asks for the passphrase.
func (l *lockedKey) unlock() error {
	for range passphraseTries {
		passphrase, err := askSecret(fmt.Sprintf("Passphrase of %s: ", l.file))
		if err != nil {
			return &sshError{fmt.Sprintf("key %s has a passphrase, and there is no terminal to ask for it; load it into ssh-agent", l.file), err}
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(l.text, passphrase)
		if err == nil {
			l.signer = signer
			return nil
		}
	}
	return &sshError{fmt.Sprintf("key %s: wrong passphrase", l.file), nil}
}

// askSecret asks on the operator's terminal, wherever the standard files go.
func askSecret(question string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	if _, err := tty.WriteString(question); err != nil {
		return nil, err
	}
	secret, err := term.ReadPassword(int(tty.Fd()))
	_, werr := tty.WriteString("\n")
	return secret, errors.Join(err, werr)
}
