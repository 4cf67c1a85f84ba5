package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// completionTime bounds how long the box may take to complete a word.
const completionTime = 2 * time.Second

// completeFirst completes a command's first argument with what list gives; a
// box that does not answer completes nothing.
func (env *environment) completeFirst(c *cobra.Command, args []string, list func(context.Context, *box) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	parent := c.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionTime)
	defer cancel()
	var words []string
	err := env.withBox(ctx, func(ctx context.Context, b *box) (err error) {
		words, err = list(ctx, b)
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	used := map[string]bool{}
	for _, a := range args {
		used[a] = true
	}
	var unused []string
	for _, w := range words {
		if !used[w] {
			unused = append(unused, w)
		}
	}
	return unused, cobra.ShellCompDirectiveNoFileComp
}

func (env *environment) completeContainers(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return env.completeNames(c, args, toComplete, true)
}

// completeRunning completes only containers that run.
func (env *environment) completeRunning(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return env.completeNames(c, args, toComplete, false)
}

// completeNames completes names, and IDs of which something is there already.
func (env *environment) completeNames(c *cobra.Command, args []string, toComplete string, all bool) ([]string, cobra.ShellCompDirective) {
	if c.Name() == "exec" || c.Name() == "logs" {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	return env.completeFirst(c, args, func(ctx context.Context, b *box) ([]string, error) {
		res, err := b.ListContainers(ctx, connect.NewRequest(&entroosv1.ListContainersRequest{All: all}))
		if err != nil {
			return nil, err
		}
		var names []string
		for _, ct := range res.Msg.Containers {
			names = append(names, ct.GetSpec().GetName())
			if toComplete != "" && strings.HasPrefix(ct.Id, toComplete) {
				names = append(names, ct.Id[:max(min(len(ct.Id), shortLength), len(toComplete))])
			}
		}
		return names, nil
	})
}

func (env *environment) completeImages(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if c.Name() == "run" && len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return env.completeFirst(c, args, func(ctx context.Context, b *box) ([]string, error) {
		res, err := b.ListImages(ctx, connect.NewRequest(&entroosv1.ListImagesRequest{}))
		if err != nil {
			return nil, err
		}
		var names []string
		for _, i := range res.Msg.Images {
			names = append(names, i.References...)
		}
		return names, nil
	})
}

func (env *environment) completeServices(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return env.completeFirst(c, args, func(ctx context.Context, b *box) ([]string, error) {
		res, err := b.ListServices(ctx, connect.NewRequest(&entroosv1.ListServicesRequest{}))
		if err != nil {
			return nil, err
		}
		var names []string
		for _, s := range res.Msg.Services {
			names = append(names, s.Name)
		}
		return names, nil
	})
}

func (env *environment) completeReceipts(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return env.completeFirst(c, args, func(ctx context.Context, b *box) ([]string, error) {
		res, err := b.ledger.ListReceipts(ctx, connect.NewRequest(&entroosv1.ListReceiptsRequest{}))
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, r := range res.Msg.Receipts {
			e, err := decodeEntry(r)
			if err != nil {
				return nil, err
			}
			if toComplete == "" || toComplete[0] == '#' {
				ids = append(ids, fmt.Sprintf("#%d", e.Sequence))
			} else {
				ids = append(ids, shortID(hex.EncodeToString(e.Proof[:])))
			}
		}
		return ids, nil
	})
}

// completeFlag completes a flag's value with these words.
func completeFlag(c *cobra.Command, flag string, words ...string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
}
