package search

import (
	"github.com/entroos/entroos/morphzip"
	"github.com/entroos/entroos/morphzip/logline"
)

// mayMatch says whether a line of the block may match, by the templates and
// columns of a block that has them. What these cannot tell is a yes, as is a
// payload that is damaged: decoding it says what is wrong.
func mayMatch(frame *morphzip.Frame, q *Query) bool {
	if frame.Method != morphzip.LogLine || frame.Size != uint64(frame.Rest) || len(q.required) == 0 || q.folds() {
		return true
	}
	coded, err := logline.Open(frame.Payload, frame.Rest)
	if err != nil {
		return true
	}
	for _, s := range q.required {
		if s[0].fold {
			continue
		}
		if !s.any(func(r *required) bool {
			may, err := coded.MayContain(r.text)
			return may || err != nil
		}) {
			return false
		}
	}
	return true
}
