package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [USER]",
		Short: "Find out why something, or the link to a contact, does not work",
		Args:  needArgs(0, 1),

		ValidArgsFunction: a.people(),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &controlpb.DiagnoseRequest{}
			if len(args) == 1 {
				req.User = args[0]
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error { return a.diagnose(ctx, c, req) })
		},
	}
}

type jsonFinding struct {
	Check    string            `json:"check"`
	Result   string            `json:"result"`
	Text     string            `json:"text"`
	Reason   string            `json:"reason,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

func (a *app) diagnose(ctx context.Context, c *client.Client, req *controlpb.DiagnoseRequest) error {
	stream, err := c.Diagnose(ctx, req)
	if err != nil {
		return err
	}
	failed := 0
	for {
		f, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if f.GetResult() == "failed" {
			failed++
		}
		if a.json {
			finding := jsonFinding{f.GetCheck(), f.GetResult(), f.GetText(), f.GetReason().GetReason(), f.GetReason().GetMetadata()}
			if err := a.object(finding); err != nil {
				return err
			}
			continue
		}
		mark := map[string]string{"ok": "✓", "warning": "!", "failed": "✗"}[f.GetResult()]
		a.printf("%s %-12s %s\n", mark, f.GetCheck(), client.Printable(f.GetText()))
	}
	switch {
	case failed == 1:
		return fmt.Errorf("one check failed")
	case failed > 1:
		return fmt.Errorf("%d checks failed", failed)
	}
	return nil
}
