package chain

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	writer := newTestNode(1)
	home := filepath.Join(t.TempDir(), "not", "there", "yet")
	config := testConfig(home, writer.id())
	n, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	hash := n.Genesis().Hash()
	mustCommit(t, n, writer.next(t))
	closeNode(t, n)

	refused := func(name string, c Config, want error) {
		t.Helper()
		n, err := Open(c)
		if err == nil {
			closeNode(t, n)
		}
		if err == nil || (want != nil && !errors.Is(err, want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := config
	other.ChainID = "entroos-fedcba9876543210"
	refused("another chain", other, ErrIdentity)
	other = config
	other.Node = newTestNode(2).id()
	refused("another node", other, ErrIdentity)
	other = config
	other.ChainID = strings.Repeat("x", 33)
	other.Home = t.TempDir()
	refused("chain id too long", other, nil)

	// With any one of the files gone or garbled the ledger does not start, and
	// nothing is made anew behind its back.
	for _, name := range []string{genesisFile, validatorFile, signedFile, databaseFile} {
		path := filepath.Join(home, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, bad := range map[string][]byte{"gone": nil, "garbled": []byte("{}garbled")} {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if bad != nil {
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			refused(name+" "+what, config, nil)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n = openNode(t, config)
	if n.Genesis().Hash() != hash {
		t.Error("the genesis changed")
	}
	mustCommit(t, n, writer.next(t))
}

// A first start that was cut short anywhere goes on.
func TestFirstStartCutShort(t *testing.T) {
	writer := newTestNode(1)
	whole := t.TempDir()
	if _, _, err := loadIdentity(whole, testChain, writer.id()); err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{}, {signedFile}, {signedFile, validatorFile}} {
		home := t.TempDir()
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(whole, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		first, _, err := loadIdentity(home, testChain, writer.id())
		if err != nil {
			t.Fatalf("with %v: %v", names, err)
		}
		again, _, err := loadIdentity(home, testChain, writer.id())
		if err != nil || again.Hash() != first.Hash() {
			t.Errorf("with %v: the second start finds another genesis, %v", names, err)
		}
	}
}
