package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/entroos/entroos/ledger"
)

// maxProof is the largest proof file that is read, in bytes.
const maxProof = 16 << 20

// verifiedJSON is what `ledger verify --json` prints.
type verifiedJSON struct {
	Receipt     receiptJSON `json:"receipt"`
	GenesisHash string      `json:"genesis_hash"`
	Index       uint64      `json:"index"`
	Size        uint64      `json:"size"`
	Height      int64       `json:"height"`
	Signed      time.Time   `json:"signed"`
	Shown       []string    `json:"shown"`
	NotShown    []string    `json:"not_shown"`
}

func newLedgerVerifyCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify FILE --trust GENESIS_HASH",
		Short: "Verify an exported receipt, offline",
		Long: "Verify an exported receipt, offline. Trust comes from outside the file: GENESIS_HASH is what `ledger\n" +
			"status` prints on a box of that ledger. Exit status 1 means refused, with the reason.",
		Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	trust := c.Flags().String("trust", "", "SHA-256 of the ledger's genesis, in hexadecimal")
	c.RunE = func(c *cobra.Command, args []string) error {
		genesis, err := parseTrust(*trust)
		if err != nil {
			return usageError(err)
		}
		file, err := env.readProof(args[0])
		if err != nil {
			return err
		}
		evidence, err := verifyProof(c.Context(), file, genesis)
		if err != nil {
			return fmt.Errorf("%s is refused: %w", args[0], err)
		}
		if *asJSON {
			receipt := receiptFields(evidence.Receipt)
			receipt.Height, receipt.Index = evidence.Height, evidence.Index
			return env.printJSON(verifiedJSON{
				receipt, *trust, evidence.Index, evidence.Size, evidence.Height, evidence.Signed.UTC(),
				evidence.Shown(), evidence.NotShown(),
			})
		}
		return env.printEvidence(evidence)
	}
	return c
}

func parseTrust(text string) (genesis [32]byte, err error) {
	if text == "" {
		return genesis, errors.New("--trust GENESIS_HASH is needed: a file cannot vouch for itself")
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(genesis) {
		return genesis, fmt.Errorf("--trust %q is not 64 hexadecimal digits", text)
	}
	return [32]byte(raw), nil
}

func (env *environment) readProof(name string) ([]byte, error) {
	var source io.Reader = env.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		source = f
	}
	file, err := io.ReadAll(io.LimitReader(source, maxProof+1))
	if err != nil {
		return nil, err
	}
	if len(file) > maxProof {
		return nil, fmt.Errorf("%s has more than %d MiB: it is no proof", name, maxProof>>20)
	}
	return file, nil
}

func (env *environment) printEvidence(e *ledger.Evidence) error {
	if err := env.println("The receipt verifies.\n"); err != nil {
		return err
	}
	t := &table{}
	receiptRows(t, e.Receipt)
	if err := env.printTable(t); err != nil {
		return err
	}
	for _, part := range []struct {
		title     string
		sentences []string
	}{{"Shown:", e.Shown()}, {"Not shown:", e.NotShown()}} {
		if err := env.println("\n" + part.title); err != nil {
			return err
		}
		for _, s := range part.sentences {
			if err := env.println("  - " + s); err != nil {
				return err
			}
		}
	}
	return nil
}
