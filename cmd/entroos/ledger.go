package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

func newLedgerCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "ledger COMMAND", Short: "Receipts: list, show, export, verify",
		Long: "Receipts: one for each execution, in the ledger that the boxes of a cluster keep.\n" +
			"A receipt's ID is its P in hexadecimal, a prefix of it of 4 digits or more, or #N, this box's Nth.",
	}
	c.AddCommand(newLedgerListCommand(env), newLedgerShowCommand(env), newLedgerExportCommand(env),
		newLedgerVerifyCommand(env), newLedgerStatusCommand(env))
	return c
}

func newLedgerListCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "List receipts, newest first", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	limit := c.Flags().Uint32P("limit", "n", 50, "number of receipts, at most 1000")
	before := c.Flags().Uint64("before", 0, "only those with an index below this one")
	noTrunc := c.Flags().Bool("no-trunc", false, "print whole digests")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *limit < 1 || *limit > 1000 {
			return usageError(fmt.Errorf("--limit %d is not between 1 and 1000", *limit))
		}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ledger.ListReceipts(ctx, connect.NewRequest(&entroosv1.ListReceiptsRequest{
				Limit: *limit, BeforeIndex: *before,
			}))
			if err != nil {
				return err
			}
			entries := make([]*ledgerEntry, len(res.Msg.Receipts))
			for i, r := range res.Msg.Receipts {
				if entries[i], err = decodeEntry(r); err != nil {
					return err
				}
			}
			if *asJSON {
				list := make([]receiptJSON, len(entries))
				for i, e := range entries {
					list[i] = e.json()
				}
				return env.printJSON(list)
			}
			return env.printEntries(entries, b.imageNames(ctx), *noTrunc)
		})
	}
	return c
}

// imageNames tells the names of the images that are still on the box, by
// digest. They only make a list easier to read: without them it shows digests.
func (b *box) imageNames(ctx context.Context) map[string]string {
	names := map[string]string{}
	res, err := b.ListImages(ctx, connect.NewRequest(&entroosv1.ListImagesRequest{}))
	if err != nil {
		return names
	}
	for _, i := range res.Msg.Images {
		if len(i.References) > 0 {
			names[i.Digest] = i.References[0]
		}
	}
	return names
}

func (env *environment) printEntries(entries []*ledgerEntry, images map[string]string, noTrunc bool) error {
	t := newTable("SEQ", "P", "IMAGE", "EXIT", "OUTCOME", "HEIGHT", "FINISHED")
	short := shortID
	if noTrunc {
		short = func(s string) string { return s }
	}
	for _, e := range entries {
		j := e.json()
		image, named := images[j.ImageDigest]
		if !named {
			image = short(j.ImageDigest)
		}
		exit := e.ExitCode
		if e.Signal != 0 {
			exit = exitSignal + e.Signal
		}
		t.row("#"+strconv.FormatUint(e.Sequence, 10), short(j.Proof), image, strconv.Itoa(int(exit)),
			j.Outcome, strconv.FormatInt(e.place.Height, 10), minuteText(e.FinishedUnixNano))
	}
	return env.printTable(t)
}

func newLedgerShowCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "show ID", Short: "All fields of a receipt", Args: cobra.ExactArgs(1),
		ValidArgsFunction: env.completeReceipts,
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ledger.GetReceipt(ctx, connect.NewRequest(&entroosv1.GetReceiptRequest{Id: receiptID(args[0])}))
			if err != nil {
				return err
			}
			e, err := decodeEntry(res.Msg.Receipt)
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(e.json())
			}
			t := &table{}
			receiptRows(t, &e.Receipt)
			t.row("Block:", fmt.Sprintf("height %d, %s", e.place.Height, timeText(e.place.BlockTimeUnixNano)))
			t.row("Index:", strconv.FormatUint(e.place.Index, 10))
			return env.printTable(t)
		})
	}
	return c
}

// shortestPrefix is the fewest digits of P that name a receipt.
const shortestPrefix = 4

// receiptID takes a short decimal number for #N: a shell takes # for a comment.
func receiptID(id string) string {
	if _, err := strconv.ParseUint(id, 10, 64); err == nil && len(id) < shortestPrefix {
		return "#" + id
	}
	return id
}

func newLedgerExportCommand(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "export ID", Short: "Write a receipt with its proof, to be verified offline", Args: cobra.ExactArgs(1),
		ValidArgsFunction: env.completeReceipts,
	}
	output := c.Flags().StringP("output", "o", "", "file to write (default: standard output)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *output == "" && env.columns() > 0 {
			return usageError(errors.New("a proof is not for a terminal: name a file with -o"))
		}
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ledger.ExportReceipt(ctx, connect.NewRequest(&entroosv1.ExportReceiptRequest{Id: receiptID(args[0])}))
			if err != nil {
				return err
			}
			if *output == "" || *output == "-" {
				_, err := env.stdout.Write(res.Msg.Proof)
				return err
			}
			return renameio.WriteFile(*output, res.Msg.Proof, 0o644)
		})
	}
	return c
}

func newLedgerStatusCommand(env *environment) *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "The ledger's chain, height and size", Args: cobra.NoArgs}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return env.withBox(c.Context(), func(ctx context.Context, b *box) error {
			res, err := b.ledger.LedgerStatus(ctx, connect.NewRequest(&entroosv1.LedgerStatusRequest{}))
			if err != nil {
				return err
			}
			if *asJSON {
				return env.printJSON(jsonMessage{res.Msg})
			}
			s := res.Msg
			t := &table{}
			t.row("Chain:", s.ChainId)
			t.row("Genesis:", s.GenesisHash)
			t.row("Height:", fmt.Sprintf("%d (blocks from %d on are kept)", s.Height, s.EarliestBlockHeight))
			t.row("Receipts:", strconv.FormatUint(s.TreeSize, 10))
			t.row("Tree root:", hex.EncodeToString(s.TreeRoot))
			t.row("Validators:", fmt.Sprintf("%d, of which %d may fail; %d of %d of the voting power signed the newest block",
				s.Validators, s.ToleratedFaults, s.SignedPower, s.TotalPower))
			switch {
			case s.HeldBack:
				t.row("Load:", "more is offered than it can commit: receipts wait")
			case s.ServiceRate > 0:
				t.row("Load:", fmt.Sprintf("%.1f%%, a receipt takes about %v", 100*s.ArrivalRate/s.ServiceRate,
					time.Duration(s.SojournSeconds*float64(time.Second)).Round(time.Millisecond)))
			}
			t.row("App hash:", hex.EncodeToString(s.AppHash))
			if s.LastSequence != 0 { // of this box
				t.row("Last receipt:", fmt.Sprintf("#%d", s.LastSequence))
				t.row("Its P:", hex.EncodeToString(s.LastP))
			}
			return env.printTable(t)
		})
	}
	return c
}
