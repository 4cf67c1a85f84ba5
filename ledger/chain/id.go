package chain

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/entroos/entroos/ledger"
)

// minDigits is the shortest prefix of a P that names a receipt.
const minDigits = 4

var errID = errors.New("a receipt is named by at least 4 hexadecimal digits of its P, or by #N")

// resolve returns the leaf that an id names: P in hexadecimal or a unique
// prefix of it, or #N for the node's sequence number N.
func (v *view) resolve(id string, node [32]byte) (uint64, error) {
	if number, ok := strings.CutPrefix(id, "#"); ok {
		sequence, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %q", errID, id)
		}
		index, ok, err := v.bySequence(node, sequence)
		if err == nil && !ok {
			err = fmt.Errorf("%w: this node has no receipt %d in the ledger", ledger.ErrNotFound, sequence)
		}
		return index, err
	}
	id = strings.ToLower(id)
	var found []uint64
	err := v.byProof(id, func(index uint64, _ *ledger.Receipt) bool {
		found = append(found, index)
		return len(found) < 2
	})
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, fmt.Errorf("%w: no P begins with %s", ledger.ErrNotFound, id)
	case len(found) > 1:
		return 0, fmt.Errorf("%w: more than one P begins with %s", errID, id)
	}
	return found[0], nil
}

// hexPrefix returns the whole bytes of a P that the digits give, as many as
// the index holds.
func hexPrefix(digits string) ([]byte, error) {
	if len(digits) < minDigits || len(digits) > 64 {
		return nil, fmt.Errorf("%w: %q", errID, digits)
	}
	b, err := hex.DecodeString(digits[:len(digits)&^1])
	if err != nil || strings.Trim(digits[len(digits)&^1:], "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%w: %q", errID, digits)
	}
	return b[:min(len(b), prefixLen)], nil
}

func hasHexPrefix(p [32]byte, digits string) bool {
	return strings.HasPrefix(hex.EncodeToString(p[:]), digits)
}
