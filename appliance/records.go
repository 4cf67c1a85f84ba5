package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/entroos/entroos/nko"
)

// volatilePath is where records, images and containers are kept, in memory,
// while those on the data partition cannot be used.
const volatilePath = RunPath + "/volatile"

// errRecordsMissing: without its records, what is on the data partition belongs
// to nobody, and would be cleared away as left over.
var errRecordsMissing = errors.New("the file is missing, and a ledger is there")

// OpenStore opens the box's records, or, when those cannot be had, keeps new
// ones in memory. Nothing that the old ones speak of is then touched: images,
// containers and ledger are in memory too.
func (b *Box) OpenStore() error {
	b.state = PermPath
	path := filepath.Join(PermPath, "entroos.db")
	err := recordsMissing(path, filepath.Join(PermPath, "ledger"))
	if err == nil {
		if b.Store, err = nko.OpenStore(path); err == nil {
			return nil
		}
	}
	b.LoseRecords(fmt.Errorf("the box's records (%s) are left as they are, and new ones kept in memory only and lost at the next boot: %w", path, err))
	if err := os.MkdirAll(volatilePath, 0o755); err != nil {
		return err
	}
	if err := mountVolatile(volatilePath); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(volatilePath, "ledger"), 0o700); err != nil {
		return err
	}
	b.state = volatilePath
	b.Store, err = nko.OpenStore(filepath.Join(volatilePath, "entroos.db"))
	return err
}

// recordsMissing is errRecordsMissing when the records are not there although a
// ledger, which is made after them, is.
func recordsMissing(records, ledger string) error {
	if _, err := os.Stat(records); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(ledger)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	return errors.Join(errRecordsMissing, err)
}
