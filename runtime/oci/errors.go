package oci

import (
	"errors"
	"strings"
	"unicode"

	"github.com/entroos/entroos/runtime/space"
)

// Why an archive is refused. Each error says which part of it, quoted: its
// names are whatever its maker wanted an operator's terminal to show.
var (
	// ErrMalformed is returned for what is no image archive, or contradicts
	// itself.
	ErrMalformed = errors.New("not a sound image archive")
	// ErrDigest is returned for content that is not what its digest says.
	ErrDigest = errors.New("the digest is wrong")
	// ErrUnsafe is returned for a layer's entry that reaches out of the layer,
	// or that no image has for a good reason.
	ErrUnsafe = errors.New("unsafe entry")
	// ErrTooLarge is returned for what exceeds a bound that real images keep.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported is returned for formats that are not known, and for images
	// that are for other machines.
	ErrUnsupported = errors.New("not supported")
	// ErrNoSpace is returned for an import that would fill the disk.
	ErrNoSpace = space.ErrFull
)

// printable keeps an error from showing what libraries have quoted from an
// archive as it was.
func printable(err error) error {
	if err == nil || !strings.ContainsFunc(err.Error(), unprintable) {
		return err
	}
	return printableError{err}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }

type printableError struct{ error }

func (e printableError) Error() string {
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return unicode.ReplacementChar
		}
		return r
	}, e.error.Error())
}

func (e printableError) Unwrap() error { return e.error }
