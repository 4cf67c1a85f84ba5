package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// userNamespace gives a user namespace in which the ids from 0 are the box's
// from root on. It is kept for the slot: a namespace costs the start of a
// process, and a container may restart often.
func (r *Runtime) userNamespace(c containerRecord) (*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ns, ok := r.namespaces[c.Slot]; ok {
		return ns, nil
	}
	ns, err := newUserNamespace(r.processes, c.rootID())
	if err != nil {
		return nil, fmt.Errorf("user namespace: %w", err)
	}
	r.namespaces[c.Slot] = ns
	return ns, nil
}

// forgetUserNamespace closes the slot's, if there is one.
func (r *Runtime) forgetUserNamespace(slot int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	ns, ok := r.namespaces[slot]
	if !ok {
		return nil
	}
	delete(r.namespaces, slot)
	return ns.Close()
}

// newUserNamespace makes the namespace with a child that does nothing in it.
// A thread of ours cannot: only a process with a single one may.
func newUserNamespace(processes Processes, root uint32) (_ *os.File, err error) {
	program, err := sleeper()
	if err != nil {
		return nil, err
	}
	defer program.Close()
	mapping := []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(root), Size: idsPerContainer}}
	cmd := exec.Command(fmt.Sprintf("/proc/self/fd/%d", program.Fd()))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: mapping, GidMappings: mapping,
	}
	exits, err := processes.Start(cmd)
	if err != nil {
		return nil, err
	}
	defer func() {
		killErr := cmd.Process.Kill()
		_, waitErr := processes.Wait(cmd, exits)
		if err = errors.Join(err, killErr, waitErr); err != nil {
			err = fmt.Errorf("child that holds it: %w", err)
		}
	}()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
}

// sleeper gives a program that sleeps until it is killed, as a file in memory:
// the smallest there is, so that starting it costs next to nothing.
func sleeper() (*os.File, error) {
	fd, err := unix.MemfdCreate("sleeper", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("sleeper", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "sleeper")
	if _, err := f.Write(sleeperELF()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sleeperELF is a static x86-64 executable of one segment.
func sleeperELF() []byte {
	code := []byte{
		0xb8, 34, 0, 0, 0, // mov eax, SYS_pause
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp to the mov
	}
	const (
		base         = 0x400000
		headersSize  = 64 + 56
		executable   = 2
		amd64        = 62
		load         = 1
		readAndExec  = 5
		pageSize     = 0x1000
		entrySection = base + headersSize
	)
	size := uint64(headersSize + len(code))
	e := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 15: 0} // 64 bits, little-endian
	put16 := func(v uint16) { e = binary.LittleEndian.AppendUint16(e, v) }
	put32 := func(v uint32) { e = binary.LittleEndian.AppendUint32(e, v) }
	put64 := func(v uint64) { e = binary.LittleEndian.AppendUint64(e, v) }
	put16(executable)
	put16(amd64)
	put32(1)            // version
	put64(entrySection) // entry
	put64(64)           // program header's offset
	put64(0)            // no sections
	put32(0)            // flags
	put16(64)           // this header's size
	put16(56)           // a program header's size
	put16(1)            // of those there is one
	put16(0)            // no sections
	put16(0)
	put16(0)
	put32(load)
	put32(readAndExec)
	put64(0)    // offset in the file
	put64(base) // in memory
	put64(base)
	put64(size)
	put64(size)
	put64(pageSize) // alignment
	return append(e, code...)
}
