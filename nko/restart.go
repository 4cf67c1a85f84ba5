package nko

import (
	"math"
	"time"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// restartBackoff spaces the restarts of a container: docker's.
var restartBackoff = Backoff{Initial: 100 * time.Millisecond, Max: time.Minute}

// restartReset is how long a container must be up for its back-off to begin
// anew.
const restartReset = 10 * time.Second

// delay gives the time before the restart after so many failures in a row.
func (t *task) delay(failures int) time.Duration {
	d := restartBackoff.Delay(failures)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delayed = restartBackoff.facts(t.c.GetSpec().GetName(), failures, d)
	return d
}

// pause waits for the time of a restart, and says whether there is to be one.
func (t *task) pause(delay time.Duration) bool {
	t.update(func(c *entroosv1.Container) {
		c.State = entroosv1.ContainerState_CONTAINER_STATE_RESTARTING
	})
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		t.update(func(c *entroosv1.Container) { c.Restarts++ })
		return true
	case <-t.noRestart():
		t.update(func(c *entroosv1.Container) {
			c.State = entroosv1.ContainerState_CONTAINER_STATE_EXITED
		})
		return false
	}
}

// restarts says whether the container starts again after this end.
func (t *task) restarts(end *entroosv1.RunExited) bool {
	if t.held() {
		return false
	}
	c := t.get()
	policy := c.GetSpec().GetRestart()
	switch policy.GetMode() {
	case entroosv1.RestartPolicy_MODE_ALWAYS, entroosv1.RestartPolicy_MODE_UNLESS_STOPPED:
		return true
	case entroosv1.RestartPolicy_MODE_ON_FAILURE:
		return end.GetExitCode() != 0 && c.GetRestarts() < maxRetries(c)
	}
	return false
}

// resumes says whether the container is to run after a boot.
func (t *task) resumes() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.c.GetSpec().GetRestart().GetMode() {
	case entroosv1.RestartPolicy_MODE_ALWAYS:
		return true
	case entroosv1.RestartPolicy_MODE_UNLESS_STOPPED:
		return !t.stopWanted
	case entroosv1.RestartPolicy_MODE_ON_FAILURE:
		// One that waited for its restart had failed; one that was queued had not
		// run.
		waited := t.c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_RESTARTING ||
			t.c.GetState() == entroosv1.ContainerState_CONTAINER_STATE_QUEUED
		return !t.stopWanted && (t.interrupted || waited) && t.c.GetRestarts() < maxRetries(t.c)
	}
	return false
}

// countResume counts the start after a boot where starts are counted: else each
// power cut would give a container that fails one more try.
func (t *task) countResume() {
	if t.get().GetSpec().GetRestart().GetMode() == entroosv1.RestartPolicy_MODE_ON_FAILURE {
		t.update(func(c *entroosv1.Container) { c.Restarts++ })
	}
}

// maxRetries is how often a container is started again after failures.
func maxRetries(c *entroosv1.Container) uint32 {
	if most := c.GetSpec().GetRestart().GetMaxRetries(); most != 0 {
		return most
	}
	return math.MaxUint32
}
