package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestRecordsMissing(t *testing.T) {
	dir := t.TempDir()
	records, ledger := filepath.Join(dir, "entroos.db"), filepath.Join(dir, "ledger")
	check := func(what string, want error) {
		t.Helper()
		if err := recordsMissing(records, ledger); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("a new data partition", nil)
	if err := os.Mkdir(ledger, 0o700); err != nil {
		t.Fatal(err)
	}
	check("an empty folder for the ledger", nil)
	if err := os.WriteFile(filepath.Join(ledger, "genesis.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("a ledger without records", errRecordsMissing)
	if err := os.WriteFile(records, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("both", nil)
}
