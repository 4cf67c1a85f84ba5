package appliance

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/equations"
)

// telemetryPatience is how long what is asked of ledgerd and routerd may take.
const telemetryPatience = 5 * time.Second

// Telemetry gathers what the box knows of itself, for the live checks of the
// governing equations. A part that its component has nothing to tell of stays
// absent; an error says that a component which is there cannot be asked.
func (b *Box) Telemetry(ctx context.Context) (*equations.Telemetry, error) {
	ctx, cancel := context.WithTimeout(ctx, telemetryPatience)
	defer cancel()
	t := new(equations.Telemetry)
	var failed []error
	for _, gather := range []struct {
		what string
		from func(context.Context, *equations.Telemetry) error
	}{
		{"noise", b.noiseTelemetry},
		{"images", b.imageTelemetry},
		{"governor", b.governorTelemetry},
		{"executions", b.executionTelemetry},
		{"ledger", b.ledgerTelemetry},
		{"router", b.routerTelemetry},
		{"services", b.systemTelemetry},
		{"output", b.outputTelemetry},
		{"store", b.morphTelemetry},
	} {
		if err := gather.from(ctx, t); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", gather.what, err))
		}
	}
	return t, errors.Join(failed...)
}

func (b *Box) noiseTelemetry(_ context.Context, t *equations.Telemetry) error {
	if b.Noise == nil {
		return nil
	}
	t.Noise = b.Noise.Facts()
	if t.Noise != nil && t.Noise.Smoothing != nil {
		t.Smoothing = append(t.Smoothing, *t.Noise.Smoothing)
	}
	return nil
}

func (b *Box) governorTelemetry(_ context.Context, t *equations.Telemetry) error {
	if b.Governor == nil {
		return nil
	}
	return b.Governor.Facts(t)
}

func (b *Box) imageTelemetry(_ context.Context, t *equations.Telemetry) error {
	if b.Runtime == nil {
		return nil
	}
	images, err := b.Runtime.Images()
	if err != nil {
		return err
	}
	for _, i := range images {
		if i.Entropy == nil {
			continue // of an import that did not measure it
		}
		f := equations.ImageFacts{Image: i.GetDigest(), Entropy: i.GetEntropy()}
		if len(i.GetReferences()) > 0 {
			f.Image = i.GetReferences()[0]
		}
		if f.Bytes, err = b.Runtime.ImageHistogram(i.GetDigest()); err != nil {
			return err
		}
		t.Images = append(t.Images, f)
	}
	return nil
}

// executionTelemetry comes before ledgerTelemetry: what is committed in between
// counts as waiting no more.
func (b *Box) executionTelemetry(_ context.Context, t *equations.Telemetry) error {
	if b.Store == nil {
		return nil
	}
	e, err := b.Store.Executions()
	if err != nil {
		return err
	}
	t.Conservation = &equations.ConservationFacts{Started: e.Started, Running: e.Running, Waiting: e.Waiting, Last: e.Last}
	return nil
}

// CheckEquations implements AdminService.
func (a *adminServer) CheckEquations(ctx context.Context, _ *connect.Request[entroosv1.CheckEquationsRequest]) (*connect.Response[entroosv1.CheckEquationsResponse], error) {
	t, err := a.box.Telemetry(ctx)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("the box cannot tell all of itself: %w", err))
	}
	results := equations.Evaluate(t)
	_, hold, apply := equations.Consistency(results)
	answer := &entroosv1.CheckEquationsResponse{Hold: uint32(hold), Apply: uint32(apply), TimeUnixNano: time.Now().UnixNano()}
	for _, r := range results {
		answer.Checks = append(answer.Checks, equationCheck(r))
	}
	return connect.NewResponse(answer), nil
}

func equationCheck(r equations.Result) *entroosv1.EquationCheck {
	c := &entroosv1.EquationCheck{
		Number: uint32(r.Number), Section: r.Section, Name: r.Name, Formula: r.Formula,
		Component: r.Component, Invariant: r.Invariant, Seen: r.Seen,
	}
	switch r.State {
	case equations.Pass:
		c.State = entroosv1.EquationCheck_STATE_PASS
	case equations.Fail:
		c.State = entroosv1.EquationCheck_STATE_FAIL
	case equations.NotApplicable:
		c.State = entroosv1.EquationCheck_STATE_NOT_APPLICABLE
	}
	return c
}

// digestOf makes a digest of bytes that came over the API.
func digestOf(b []byte) (d equations.Digest, err error) {
	if len(b) != len(d) {
		return d, fmt.Errorf("%s is no SHA-256", hex.EncodeToString(b))
	}
	return equations.Digest(b), nil
}
