package fat

import "fmt"

// Rules are what the caller knows of the files.
type Rules struct {
	// Precious says that nothing of a file or folder may be changed; where
	// others claim its clusters, they are its own. The folders above it have to
	// be precious too. Paths are relative to the root, with slashes. Nil is
	// none.
	Precious func(path string) bool
	// Later says that, of two entries for one file, a is what a rename that was
	// cut off was to become. Nil keeps the one found first.
	Later func(a, b string) bool
}

func (r Rules) precious(path string) bool { return r.Precious != nil && r.Precious(path) }
func (r Rules) later(a, b string) bool    { return r.Later != nil && r.Later(a, b) }

// maxFaults is how many faults are told one by one.
const maxFaults = 64

// Report is what was found, and mended.
type Report struct {
	// Dirty says that the file system was not cleanly unmounted.
	Dirty bool
	// Faults are what was wrong, at most 64 of them.
	Faults []Fault
	// More counts the faults beyond those.
	More int
	// Lost is how many clusters belonged to nothing.
	Lost int
	// Left counts the faults that are left as they are.
	Left int
}

// Fault is one thing that was wrong.
type Fault struct {
	// Path of the file or folder; empty is the file system's own.
	Path string
	// What was wrong, and what is done about it.
	What string
	// Left says that it is not mended.
	Left bool
}

func (f Fault) String() string {
	if f.Path == "" {
		return f.What
	}
	return f.Path + ": " + f.What
}

// Clean says that there was nothing to mend.
func (r *Report) Clean() bool { return !r.Dirty && len(r.Faults) == 0 }

func (r *Report) add(f Fault) {
	if f.Left {
		r.Left++
	}
	if len(r.Faults) == maxFaults {
		r.More++
		return
	}
	r.Faults = append(r.Faults, f)
}

func (r *Report) count() int { return len(r.Faults) + r.More }

func (r *Report) mended(path, format string, args ...any) {
	r.add(Fault{Path: path, What: fmt.Sprintf(format, args...)})
}

func (r *Report) left(path, format string, args ...any) {
	r.add(Fault{Path: path, What: fmt.Sprintf(format, args...) + ", left as it is", Left: true})
}
