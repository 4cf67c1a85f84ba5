package appliance

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// smbiosOEMStrings is where the kernel shows the SMBIOS structures of type 11.
const smbiosOEMStrings = "/sys/firmware/dmi/entries/11-*/raw"

// Options are entroos.KEY=VALUE settings that the machine's maker, or a virtual
// machine's owner, passes in SMBIOS OEM strings.
type Options map[string]string

// VsockLoopback lets the admin API take peers of this box's own vsock loopback
// (CID 1). It is for tests: containers can reach it too.
func (o Options) VsockLoopback() bool { return o["vsock_loopback"] == "1" }

// Faults lets a virtual machine's owner order faults of the box, for trials.
func (o Options) Faults() bool { return o["faults"] == "1" }

// ResourcesTarget stands in the place of the settings' resources.target; empty,
// those hold.
func (o Options) ResourcesTarget() string { return o["resources.target"] }

// ReadOptions reads the options; a machine without SMBIOS has none.
func ReadOptions() (Options, error) {
	options := make(Options)
	files, err := filepath.Glob(smbiosOEMStrings)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		oem, err := parseOEMStrings(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, s := range oem {
			if setting, ok := strings.CutPrefix(s, "entroos."); ok {
				key, value, _ := strings.Cut(setting, "=")
				options[key] = value
			}
		}
	}
	return options, nil
}

// parseOEMStrings takes an SMBIOS structure of type 11 apart (SMBIOS 3.0,
// 7.12): type, length, handle (2 bytes), count of strings; from length on the
// strings, each ended by a zero, and a zero after the last.
func parseOEMStrings(raw []byte) ([]string, error) {
	const header = 5
	if len(raw) < header || raw[0] != 11 || int(raw[1]) < header || int(raw[1]) > len(raw) {
		return nil, errors.New("no SMBIOS structure of type 11")
	}
	var found []string
	rest := raw[raw[1]:]
	for range int(raw[4]) {
		s, after, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, errors.New("SMBIOS structure ends within a string")
		}
		found = append(found, string(s))
		rest = after
	}
	return found, nil
}
