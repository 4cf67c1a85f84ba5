package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// The size of a terminal that does not say its own: a serial line.
const (
	defaultRows    = 24
	defaultColumns = 80
)

// makeSane sets a terminal to what a person at a fresh login expects, whatever
// the console before left it in, and gives it a size if it has none.
func makeSane(tty *os.File) error {
	fd := int(tty.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	t.Iflag &^= unix.IGNBRK | unix.INLCR | unix.IGNCR | unix.ISTRIP
	t.Iflag |= unix.ICRNL | unix.IXON | unix.BRKINT
	t.Oflag |= unix.OPOST | unix.ONLCR
	t.Lflag |= unix.ISIG | unix.ICANON | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE
	// At Ctrl-C the kernel signals first and then flushes the output: what a
	// quick program prints in between, as our prompt, would be lost.
	t.Lflag |= unix.NOFLSH
	t.Cflag |= unix.CREAD
	t.Cc[unix.VINTR], t.Cc[unix.VQUIT], t.Cc[unix.VEOF], t.Cc[unix.VERASE] = 'C'-'@', '\\'-'@', 'D'-'@', 0x7f
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	if size.Row != 0 && size.Col != 0 {
		return nil
	}
	size.Row, size.Col = defaultRows, defaultColumns
	if rows, columns, ok := askSize(tty); ok {
		size.Row, size.Col = rows, columns
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	return nil
}

// askSizeTime is how long a terminal may take to answer askSize. Beyond, it is
// none that answers, or nobody is there.
const askSizeTime = 500 * time.Millisecond

// askSize asks the terminal at the other end of a serial line for its size: it
// moves the cursor as far down and right as it goes, and asks where that is.
func askSize(tty *os.File) (rows, columns uint16, ok bool) {
	state, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return 0, 0, false
	}
	defer func() { ok = term.Restore(int(tty.Fd()), state) == nil && ok }()
	if _, err := tty.WriteString("\x1b7\x1b[999;999H\x1b[6n\x1b8"); err != nil {
		return 0, 0, false
	}
	deadline := time.Now().Add(askSizeTime)
	var answer []byte
	for !bytes.HasSuffix(answer, []byte("R")) {
		left := time.Until(deadline)
		fds := []unix.PollFd{{Fd: int32(tty.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(0, left.Milliseconds())))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return 0, 0, false
		}
		buf := make([]byte, 32)
		if n, err = tty.Read(buf); err != nil || n == 0 {
			return 0, 0, false
		}
		answer = append(answer, buf[:n]...)
	}
	start := bytes.LastIndex(answer, []byte("\x1b["))
	if start < 0 {
		return 0, 0, false
	}
	if _, err := fmt.Sscanf(string(answer[start:]), "\x1b[%d;%dR", &rows, &columns); err != nil {
		return 0, 0, false
	}
	return rows, columns, rows >= 10 && columns >= 20 && rows < 999 && columns < 999
}

// keysOnly makes Ctrl-C and its like keys that are read, not signals.
func keysOnly(tty *os.File) error {
	fd := int(tty.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		t.Lflag &^= unix.ISIG
		err = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
	if err != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	return nil
}

// dropInput forgets what was typed and not read.
func dropInput(tty *os.File) error {
	return os.NewSyscallError("tcflush", unix.IoctlSetInt(int(tty.Fd()), unix.TCFLSH, unix.TCIFLUSH))
}

// hungUp says whether a terminal is gone.
func hungUp(tty *os.File) bool {
	_, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	return errors.Is(err, unix.EIO)
}
