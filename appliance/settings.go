package appliance

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/entroos/entroos/appliance/config"
)

// The two files of settings: the one built into the image, and the box's own.
const (
	BuiltInConfig = "/etc/entroos/appliance.yaml"
	OwnConfig     = SettingsPath + "/" + ownName

	ownName = "appliance.yaml"
)

// Settings are what a box's two files of settings say. There is always
// something that holds: the box's own file over the built-in one; the built-in
// one alone when the own one is broken; the defaults when that is broken too.
type Settings struct {
	mu           sync.Mutex
	builtIn, own []byte
	holds        *config.Config
	problem      error         // with the box's own file
	complete     bool          // the box's own file is known, or known not to be there
	changed      chan struct{} // closed and replaced at each change
}

// NewSettings makes Settings of the defaults alone.
func NewSettings() *Settings {
	return &Settings{holds: config.Default(), changed: make(chan struct{})}
}

// ReadBuiltIn reads the built-in file, before the box's own one. The error says
// why the defaults hold in its place.
func (s *Settings) ReadBuiltIn(name string) error {
	text, err := readConfig(name)
	if err != nil {
		return fmt.Errorf("the built-in settings are not followed: %w", err)
	}
	holds, err := config.Merge(text, nil)
	if err != nil {
		return fmt.Errorf("the built-in settings are not followed: %s; build the image with settings that `config check` accepts", brief(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builtIn, s.holds = text, holds
	return nil
}

// ReadOwn reads the box's own file. What is wrong with it stands in Problem.
func (s *Settings) ReadOwn(name string) {
	text, err := readConfig(name)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.problem, s.complete = err, false
		return
	}
	s.set(text)
}

// set takes text for the box's own file.
func (s *Settings) set(own []byte) {
	holds, err := s.Check(own)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own, s.problem, s.complete = own, err, err == nil
	if err != nil {
		return
	}
	s.holds = holds
	close(s.changed)
	s.changed = make(chan struct{})
}

// Check gives the settings that would hold with that text as the box's own.
func (s *Settings) Check(own []byte) (*config.Config, error) {
	s.mu.Lock()
	builtIn := s.builtIn
	s.mu.Unlock()
	return config.Merge(builtIn, own)
}

// Config is what holds. It is not to be changed.
func (s *Settings) Config() *config.Config {
	holds, _ := s.Watch()
	return holds
}

// Watch gives what holds, and a channel that is closed when something else
// does.
func (s *Settings) Watch() (*config.Config, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds, s.changed
}

// Complete says that the box's own file is followed, or that there is none. When
// it is broken, or not there to be read, nobody knows what it would say.
func (s *Settings) Complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete
}

// Texts are the two files as they were read, and what is wrong with the own
// one.
func (s *Settings) Texts() (builtIn, own []byte, problem error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.builtIn, s.own, s.problem
}

// Problem says in a line why the box's own file is not followed, and what to
// do; it is empty when it is.
func (s *Settings) Problem() string {
	_, _, err := s.Texts()
	if err == nil {
		return ""
	}
	return fmt.Sprintf("the box's own settings are not followed, and the built-in ones are: %s; `config show` tells more, `config set` mends it", brief(err))
}

// complaints says what of the settings could not be followed. The box is as
// healthy as it was: an update is not to blame for it, and going back no help.
func (b *Box) complaints() []string {
	b.mu.Lock()
	follower, declared := b.follower, b.declared
	b.mu.Unlock()
	var all []string
	if p := b.Settings.Problem(); p != "" {
		all = append(all, p)
	}
	if follower != nil {
		all = append(all, follower.Problems()...)
	}
	if declared != nil {
		all = append(all, declared.Problems()...)
	}
	return all
}

// brief is an error without the excerpt of the file, and of many the first.
func brief(err error) string {
	var first *config.Error
	if !errors.As(err, &first) {
		return err.Error()
	}
	line, _, _ := strings.Cut(first.Error(), "\n")
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if n := len(joined.Unwrap()); n > 1 {
			line += fmt.Sprintf(" (and %d more)", n-1)
		}
	}
	return line
}

// readConfig reads a file of settings; one that is not there says nothing.
func readConfig(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, config.MaxSize+1)) // what is too large is refused
}

// ReadOwnSettings reads the box's own file, if the settings partition is
// mounted; why it is not has been told.
func (b *Box) ReadOwnSettings() error {
	mounted, err := isMounted(SettingsPath)
	if err == nil && mounted {
		b.Settings.ReadOwn(OwnConfig)
	}
	return err
}

// Config is what the box's settings say. It is not to be changed.
func (b *Box) Config() *config.Config { return b.Settings.Config() }
