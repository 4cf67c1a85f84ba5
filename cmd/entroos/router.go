package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newRouterCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "router COMMAND", Short: "Placement: explain, status",
		Long: "Placement: which node starts a container, and when. Each node is scored by its entropy E_n, its capacity C_n\n" +
			"and what is committed to it U_n, both as a share of the largest node's CPU. The highest rank K is chosen.",
	}
	c.AddCommand(newRouterExplainCommand(env), newRouterStatusCommand(env))
	return c
}

func newRouterExplainCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain [CONTAINER | --spec [FLAGS] IMAGE]",
		Short: "Why a container was placed, is queued or was refused",
		Long: "Why a container was placed, is queued or was refused: each node with the numbers of the decision. Without a\n" +
			"container it is the last decision. With --spec it is what would be decided now on a container that is not\n" +
			"there, with the flags of `run`; nothing is started.",
		Example: "  router explain web\n" +
			"  router explain --spec --memory-reservation 1g -p 80:80 nginx",
		ValidArgsFunction: env.completeContainers,
	}
	var w workloadFlags
	w.add(c.Flags())
	spec := c.Flags().Bool("spec", false, "what would be decided now for these flags and IMAGE")
	asJSON := jsonFlag(c)
	completeFlag(c, "restart", "no", "always", "unless-stopped", "on-failure")
	completeFlag(c, "network", "bridge", "host", "none")
	c.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case *spec && len(args) == 0:
			return errors.New("no image is named")
		case !*spec && len(args) > 1:
			return errors.New("one container at most; with --spec, an image and its arguments")
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		ask := new(entroosv1.ExplainRequest)
		if *spec {
			var err error
			if ask.Spec, err = w.spec(c.Flags(), args); err != nil {
				return usageError(err)
			}
		} else if len(args) > 0 {
			ask.Container = args[0]
		}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			e, err := b.explain(ctx, ask)
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonMessage{e})
			}
			return env.printExplanation(e)
		})
	}
	return c
}

// explain asks for one decision; the last one when nothing is named.
func (b *box) explain(ctx context.Context, ask *entroosv1.ExplainRequest) (*entroosv1.ExplainResponse, error) {
	if ask.Spec == nil && ask.Container == "" {
		res, err := b.router.RouterStatus(ctx, connect.NewRequest(&entroosv1.RouterStatusRequest{}))
		if err != nil {
			return nil, err
		}
		if len(res.Msg.Decisions) == 0 {
			return nil, errors.New("nothing has been decided yet; with --spec you see what would be")
		}
		return &entroosv1.ExplainResponse{Decision: res.Msg.Decisions[0]}, nil
	}
	res, err := b.router.Explain(ctx, connect.NewRequest(ask))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (env *environment) printExplanation(e *entroosv1.ExplainResponse) error {
	d := e.Decision
	about := &table{}
	about.row("Container:", d.Replica.GetName())
	about.row("Decision:", decisionText(e))
	about.row("Demand:", demandText(d.Replica))
	entropy := "not known, counts as 0.5"
	if d.Replica.Entropy != nil {
		entropy = numberText(d.Replica.GetEntropy())
	}
	about.row("E_c:", entropy)
	about.row("With:", fmt.Sprintf("T = %s, w = %s, threshold = %s", numberText(d.Target), numberText(d.Weight), numberText(d.Threshold)))
	if d.EntropyLeftOut {
		about.row("Note:", "no node's noise source is assessed and healthy: every E_n counts as 1")
	}
	about.row("K:", "as it would be with the container there, at U_n + d")
	if err := env.printTable(about); err != nil {
		return err
	}
	if err := env.println(""); err != nil {
		return err
	}
	t := newTable("NODE", "E_N", "C_N", "U_N", "S", "K", "REASON")
	for _, n := range d.Candidates {
		rank := numberText(n.Rank)
		if n.Filtered {
			rank = "-"
		}
		t.row(nodeText(n.Hostname, n.NodeId), numberText(n.Entropy), numberText(n.Capacity), numberText(n.Usage),
			numberText(n.Score), rank, n.Reason)
	}
	return env.printTable(t)
}

// decisionText is "placed on cellar, after 3 s in the queue".
func decisionText(e *entroosv1.ExplainResponse) string {
	d := e.Decision
	text := enumWord(d.Outcome.Descriptor(), d.Outcome.Number())
	for _, n := range d.Candidates {
		if n.Chosen {
			text += " on " + nodeText(n.Hostname, n.NodeId)
		}
	}
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	if d.WaitedMillis > 0 {
		text += fmt.Sprintf(", after %v in the queue", time.Duration(d.WaitedMillis)*time.Millisecond)
	}
	if e.Hypothetical {
		text += " (as it would be decided now)"
	}
	return text
}

// demandText is "0.01 cores, 4MiB, ports 80->80/tcp".
func demandText(r *entroosv1.Replica) string {
	texts := []string{fmt.Sprintf("%g cores, weight %d", float64(r.GetCpuMilli())/1000, r.GetCpuWeight()), bytesText(r.GetMemoryBytes())}
	if len(r.GetPorts()) > 0 {
		texts = append(texts, "ports "+portsText(r.GetPorts()))
	}
	return strings.Join(append(texts, r.GetConstraints()...), ", ")
}

// nodeText is a node's name, or what is known of it.
func nodeText(hostname, id string) string {
	if hostname == "" {
		return shortID(id)
	}
	return hostname
}

// numberText is a figure of the model, which is mostly between 0 and 1.
func numberText(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }

func newRouterStatusCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "The nodes, what is committed to them, and who is queued", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.router.RouterStatus(ctx, connect.NewRequest(&entroosv1.RouterStatusRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonMessage{res.Msg})
			}
			return env.printRouterStatus(res.Msg)
		})
	}
	return c
}

func (env *environment) printRouterStatus(s *entroosv1.RouterStatusResponse) error {
	about, c := &table{}, s.Counters
	about.row("Router:", "up "+durationSince(s.StartedUnixNano))
	about.row("With:", fmt.Sprintf("T = %s, w = %s, threshold = %s", numberText(s.Target), numberText(s.Weight), numberText(s.Threshold)))
	about.row("Decisions:", fmt.Sprintf("%d offered, %d placed, %d refused, %d left the queue", c.GetOffered(), c.GetPlaced(), c.GetRefused(), c.GetCancelled()))
	if s.EntropyLeftOut {
		about.row("Note:", "no node's noise source is assessed and healthy: every E_n counts as 1")
	}
	nodes := newTable("NODE", "E_N", "C_N", "U_N", "CPU", "MEMORY", "CONTAINERS")
	for _, n := range s.Nodes {
		nodes.row(nodeText(n.Node.GetHostname(), n.Node.GetId()), noiseText(n.Node), numberText(n.Capacity), numberText(n.Usage),
			fmt.Sprintf("%g of %g cores", float64(n.CommittedCpuMilli)/1000, float64(n.Node.GetCpuMilli())/1000),
			fmt.Sprintf("%s of %s", bytesText(n.CommittedMemoryBytes), bytesText(n.Node.GetMemoryBytes())),
			strconv.Itoa(len(n.Replicas)))
	}
	tables := []*table{about, nodes}
	if len(s.Queue) > 0 {
		queue := newTable("QUEUED", "SINCE", "DEMAND", "REASON")
		for _, q := range s.Queue {
			queue.row(q.Replica.GetName(), ago(q.QueuedUnixNano), demandText(q.Replica), q.Reason)
		}
		tables = append(tables, queue)
	}
	for i, t := range tables {
		if i > 0 {
			if err := env.println(""); err != nil {
				return err
			}
		}
		if err := env.printTable(t); err != nil {
			return err
		}
	}
	return nil
}

// noiseText is a node's E_n, or why it has none.
func noiseText(n *entroosv1.RouterNode) string {
	switch n.GetEntropyHealth() {
	case entroosv1.EntropyHealth_ENTROPY_HEALTH_HEALTHY:
		return numberText(n.GetEntropy())
	case entroosv1.EntropyHealth_ENTROPY_HEALTH_UNHEALTHY:
		return "unhealthy"
	}
	return "not yet"
}
