package nko

import (
	"sync"

	"github.com/entroos/entroos/nko/governor"
)

// StartWeight is the weight of a container until its process runs: among
// containers that want more CPU than there is, one that is being made waits
// least. The governor then gives it its own.
const StartWeight = maxCPUWeight

// OnChange has f called when another set of containers runs, or is made. It must
// not wait.
func (w *Workloads) OnChange(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = f
}

func (w *Workloads) tellChange() {
	w.mu.Lock()
	f := w.changed
	w.mu.Unlock()
	if f != nil {
		f()
	}
}

// beginMaking notes that a container is being made, until made is called.
func (w *Workloads) beginMaking() (made func()) {
	count := func(n int) {
		w.mu.Lock()
		w.making += n
		w.mu.Unlock()
		w.tellChange()
	}
	count(1)
	return sync.OnceFunc(func() { count(-1) })
}

// Making says whether a container is being made: its process does not run yet.
func (w *Workloads) Making() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.making > 0
}

// Governed gives the containers whose processes run, with their shares of the
// CPU.
func (w *Workloads) Governed() (running []governor.Container) {
	for _, t := range w.list() {
		if _, err := t.container(); err != nil {
			continue // it does not run
		}
		share := orDefault(t.get().GetSpec().GetCpuWeight(), DefaultCPUWeight)
		running = append(running, governor.Container{ID: t.id, Share: share})
	}
	return running
}
