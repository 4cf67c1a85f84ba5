package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	"github.com/entroos/entroos/ledger/proof"
)

// verify is `ledgerd verify GENESIS_HASH`: it reads a proof file and writes what
// it shows, a ledger.Evidence in JSON. The error says why it is refused.
func verify(args []string, file io.Reader, output io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: ledgerd verify GENESIS_HASH <FILE")
	}
	genesis, err := hex.DecodeString(args[0])
	if err != nil || len(genesis) != 32 {
		return errors.New("GENESIS_HASH is not 64 hexadecimal digits")
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	evidence, err := proof.Verify(content, [32]byte(genesis))
	if err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(evidence)
}
