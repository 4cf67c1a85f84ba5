package nko

import "context"

// Stall has the supervisor's loop wait for ever: it answers nobody any more, as
// after a fault of its own. It is for trials of what watches over it.
func (s *Supervisor) Stall() { s.root.Add(staller{}) }

// staller ends with an error that does not end being told.
type staller struct{}

type endlessError struct{}

func (staller) Serve(context.Context) error { return endlessError{} }
func (staller) String() string              { return "staller" }
func (endlessError) Error() string          { select {} }
