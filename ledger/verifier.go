package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// VerifyWith has the program ledgerd verify a proof file, offline, as
// proof.Verify does: a program that calls this instead does not carry CometBFT.
func VerifyWith(ctx context.Context, program string, file []byte, genesisHash [32]byte) (*Evidence, error) {
	cmd := exec.CommandContext(ctx, program, "verify", hex.EncodeToString(genesisHash[:]))
	cmd.Stdin = bytes.NewReader(file)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if said := strings.TrimSpace(stderr.String()); err != nil && said != "" {
		return nil, errors.New(said)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	evidence := new(Evidence)
	if err := json.Unmarshal(output, evidence); err != nil || evidence.Receipt == nil {
		return nil, fmt.Errorf("%s did not say what the file shows: %w", program, errors.Join(err, fmt.Errorf("%.80q", output)))
	}
	return evidence, nil
}
