package search

import "github.com/entroos/entroos/morphzip/filter"

// MayMatch says whether a line that matches may be in a block of which this is
// the filter, and in which only whole lines are. Where it is false there is none.
func (q *Query) MayMatch(f *filter.Filter) bool {
	for _, s := range q.required {
		if !s.any(func(r *required) bool { return f.MayContain(r.needle) }) {
			return false
		}
	}
	return true
}
