package main

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropPrivileges leaves this process, which everybody on the network can talk
// to, root's files and sockets (the admin API's is root's) and the right to
// ports below 1024, and takes every other capability from it and from all that
// it will start.
func dropPrivileges() error {
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if capability == unix.CAP_NET_BIND_SERVICE {
			continue
		}
		_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, capability, 0)
		if errno != 0 && errno != unix.EINVAL { // EINVAL: the kernel knows it not
			return fmt.Errorf("drop capability %d: %w", capability, errno)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	const keep = 1 << unix.CAP_NET_BIND_SERVICE
	data := [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	return nil
}
