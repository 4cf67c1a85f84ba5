package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// varsName is the machine's copy of the firmware's variables, in its Dir.
const varsName = "efivars.fd"

// firmware is a build of OVMF: its code, and variables to start from.
type firmware struct{ code, vars string }

// firmwares are where distributions put OVMF.
var firmwares = []firmware{
	{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
	{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
	{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
}

func findFirmware() (firmware, error) {
	for _, f := range firmwares {
		if _, err := os.Stat(f.code); err != nil {
			continue
		}
		if _, err := os.Stat(f.vars); err == nil {
			return f, nil
		}
	}
	return firmware{}, errors.New("qemu: no UEFI firmware found; install the package ovmf")
}

// prepareFirmware makes the machine's own copy of the variables at path,
// unless an earlier machine's is there.
func prepareFirmware(path string) error {
	switch _, err := os.Stat(path); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("qemu: %w", err)
	}
	f, err := findFirmware()
	if err != nil {
		return err
	}
	vars, err := os.ReadFile(f.vars)
	if err != nil {
		return fmt.Errorf("qemu: %w", err)
	}
	if err := os.WriteFile(path, vars, 0o644); err != nil {
		return fmt.Errorf("qemu: %w", err)
	}
	return nil
}
