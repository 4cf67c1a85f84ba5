package nko

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// Get gives a container by its id, a unique prefix of it, or its name.
func (w *Workloads) Get(id string) (*entroosv1.Container, error) {
	t, err := w.find(id)
	if err != nil {
		return nil, err
	}
	return t.get(), nil
}

// List gives the containers, the newest first; all includes those that neither
// run nor wait for it.
func (w *Workloads) List(all bool) []*entroosv1.Container {
	var found []*entroosv1.Container
	for _, t := range w.list() {
		switch c := t.get(); c.GetState() {
		case entroosv1.ContainerState_CONTAINER_STATE_RUNNING, entroosv1.ContainerState_CONTAINER_STATE_RESTARTING,
			entroosv1.ContainerState_CONTAINER_STATE_QUEUED:
			found = append(found, c)
		default:
			if all {
				found = append(found, c)
			}
		}
	}
	slices.Reverse(found)
	return found
}

// Running gives the execution under way of a container.
func (w *Workloads) Running(id string) (Container, error) {
	t, err := w.find(id)
	if err != nil {
		return nil, err
	}
	return t.container()
}

// list gives the tasks, the oldest first.
func (w *Workloads) list() []*task {
	w.mu.Lock()
	defer w.mu.Unlock()
	tasks := make([]*task, 0, len(w.tasks))
	for _, t := range w.tasks {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
	})
	return tasks
}

// find gives the task of that name or id, or the one whose id begins so.
func (w *Workloads) find(id string) (*task, error) {
	if id == "" {
		return nil, fmt.Errorf("%w: none was named", ErrNoContainer)
	}
	var prefixed []*task
	for _, t := range w.list() {
		switch {
		case t.id == id || t.name() == id:
			return t, nil
		case strings.HasPrefix(t.id, id):
			prefixed = append(prefixed, t)
		}
	}
	switch len(prefixed) {
	case 0:
		return nil, fmt.Errorf("%w: %s", ErrNoContainer, id)
	case 1:
		return prefixed[0], nil
	}
	return nil, fmt.Errorf("%w: %s", ErrAmbiguous, id)
}
