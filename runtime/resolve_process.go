package runtime

import (
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func (w *Workload) resolveProcess(spec *entroosv1.WorkloadSpec, config v1.Config, home string) error {
	entrypoint, args := config.Entrypoint, config.Cmd
	if spec.SetEntrypoint {
		// The image's arguments belong to the entrypoint that is replaced.
		entrypoint, args = spec.Entrypoint, nil
	}
	if len(spec.Args) > 0 {
		args = spec.Args
	}
	w.Args = slices.Concat(entrypoint, args)
	if len(w.Args) == 0 || w.Args[0] == "" {
		return invalid("there is nothing to run: neither the image nor the arguments name a program")
	}
	w.Cwd = config.WorkingDir
	if spec.Cwd != "" {
		w.Cwd = spec.Cwd
	}
	if w.Cwd = path.Clean(w.Cwd); w.Cwd == "." {
		w.Cwd = "/"
	}
	if !path.IsAbs(w.Cwd) {
		return invalid("the working directory %q is not absolute", w.Cwd)
	}
	env := []string{defaultPath, "HOME=" + home}
	if w.Tty {
		env = append(env, "TERM=xterm")
	}
	if w.Hostname != "" {
		env = append(env, "HOSTNAME="+w.Hostname)
	}
	if err := checkStrings(config.Env...); err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	env = mergeEnv(env, slices.DeleteFunc(slices.Clone(config.Env), func(e string) bool {
		return strings.IndexByte(e, '=') <= 0 // as docker, which has no value for it
	}))
	for _, e := range spec.Env {
		if i := strings.IndexByte(e, '='); i <= 0 {
			return invalid("environment %q is not of the form KEY=value", e)
		}
	}
	w.Env = mergeEnv(env, spec.Env)
	if len(w.Cwd) > maxPath {
		return invalid("the working directory has %d bytes", len(w.Cwd))
	}
	return checkStrings(slices.Concat(w.Args, w.Env, []string{w.Cwd})...)
}

// Bounds that the kernel has on a program's arguments and environment, in
// bytes: of one string, and of all with their pointers.
const (
	maxString  = 128<<10 - 1
	maxStrings = 1 << 20
)

// checkStrings refuses what could not be handed to a program.
func checkStrings(strs ...string) error {
	size := 0
	for _, s := range strs {
		if strings.ContainsRune(s, 0) {
			return invalid("%.300q holds a zero byte", s)
		}
		if size += len(s) + 1 + 8; len(s) > maxString || size > maxStrings {
			return invalid("arguments and environment are too long: at most %d bytes each, and %d in all", maxString, maxStrings)
		}
	}
	return nil
}

// mergeEnv lays over's entries over base's. Each key stays where it was first.
func mergeEnv(base, over []string) []string {
	env := slices.Clone(base)
	at := make(map[string]int, len(env))
	for i, e := range env {
		key, _, _ := strings.Cut(e, "=")
		if _, ok := at[key]; !ok {
			at[key] = i
		}
	}
	for _, e := range over {
		key, _, _ := strings.Cut(e, "=")
		if i, ok := at[key]; ok {
			env[i] = e
			continue
		}
		at[key] = len(env)
		env = append(env, e)
	}
	return env
}
