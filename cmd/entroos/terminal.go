package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
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
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("the console's terminal: %w", err)
	}
	return nil
}

// hungUp says whether a terminal is gone.
func hungUp(tty *os.File) bool {
	_, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	return errors.Is(err, unix.EIO)
}
