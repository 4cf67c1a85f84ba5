package nko

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfoPID is si_pid, the first field of siginfo_t's union, which begins
// after three ints aligned to a pointer's size (sigaction(2)). The unix
// package does not name it.
func siginfoPID(info *unix.Siginfo) int {
	const union = (3*unsafe.Sizeof(int32(0)) + unsafe.Sizeof(uintptr(0)) - 1) &^ (unsafe.Sizeof(uintptr(0)) - 1)
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), union)))
}
