package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newConfigPasswordCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "password", Short: "Make the hash of a password for the console",
		Long: "Ask for a password and print its hash, for console.password; or, with --set, set it on the box. Without a\n" +
			"terminal the password is the first line of the standard input.",
		Args: cobra.NoArgs,
	}
	set := c.Flags().Bool("set", false, "set it as the box's console.password")
	c.RunE = func(c *cobra.Command, _ []string) error {
		password, err := env.newPassword()
		if err != nil {
			return err
		}
		hash, err := bcrypt.GenerateFromPassword(password, bcrypt.DefaultCost)
		if errors.Is(err, bcrypt.ErrPasswordTooLong) {
			return errors.New("the password is longer than 72 bytes")
		} else if err != nil {
			return err
		}
		if !*set {
			return env.println(string(hash))
		}
		return env.setConfig(c.Context(), &entroosv1.SetConfigRequest{Key: "console.password", Value: "'" + string(hash) + "'"})
	}
	return c
}

// newPassword asks for a password twice.
func (env *environment) newPassword() ([]byte, error) {
	if env.terminal == nil {
		line, err := bufio.NewReader(env.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return nil, errors.New("the password is empty")
		}
		return []byte(line), nil
	}
	var entered [2][]byte
	for i, prompt := range []string{"New password: ", "Again: "} {
		if _, err := fmt.Fprint(env.stderr, prompt); err != nil {
			return nil, err
		}
		var err error
		entered[i], err = term.ReadPassword(int(env.terminal.Fd()))
		if _, werr := fmt.Fprintln(env.stderr); err == nil {
			err = werr
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case len(entered[0]) == 0:
		return nil, errors.New("the password is empty")
	case string(entered[0]) != string(entered[1]):
		return nil, errors.New("the passwords are not the same; nothing was changed")
	}
	return entered[0], nil
}
