package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/internal/bytesize"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const filePlugin = "file" // whose messages these commands are about

func (a *app) fileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "file",
		Short: "Send and get files, pictures and folders",
		Args:  noArgs,
		RunE:  showHelp,
	}
	cmd.AddCommand(a.fileSendCommand(), a.fileListCommand(),
		a.fileAction("accept", "Get a file that somebody offers", true, pluginpb.BlobState_BLOB_STATE_OFFERED, pluginpb.BlobState_BLOB_STATE_FAILED,
			pluginpb.BlobState_BLOB_STATE_CANCELLED),
		a.fileAction("decline", "Say no to a file that somebody offers", false, pluginpb.BlobState_BLOB_STATE_OFFERED),
		a.fileAction("pause", "Stop a transfer for now", false, pluginpb.BlobState_BLOB_STATE_SHARED, pluginpb.BlobState_BLOB_STATE_WANTED),
		a.fileAction("resume", "Go on with a transfer now, or try one again that failed", true, pluginpb.BlobState_BLOB_STATE_PAUSED, pluginpb.BlobState_BLOB_STATE_WANTED,
			pluginpb.BlobState_BLOB_STATE_FAILED),
		a.fileAction("cancel", "Give up a transfer, or take back what is offered", false, pluginpb.BlobState_BLOB_STATE_SHARED,
			pluginpb.BlobState_BLOB_STATE_WANTED, pluginpb.BlobState_BLOB_STATE_PAUSED, pluginpb.BlobState_BLOB_STATE_OFFERED,
			pluginpb.BlobState_BLOB_STATE_FAILED))
	return cmd
}

func (a *app) fileSendCommand() *cobra.Command {
	var caption string
	var wait bool
	cmd := &cobra.Command{
		Use:   "send WHO PATH...",
		Short: "Offer files, pictures and folders; who is offline gets the offer later",
		Args:  needArgs(2, -1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault // paths
			}
			return a.chats()(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			caption, err := checkText(caption)
			if err != nil {
				return err
			}
			req := &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "send", Text: caption}
			if req.Paths, err = absolutePaths(args[1:]); err != nil {
				return err
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if req.Chat, err = resolveChat(ctx, c, args[0]); err != nil {
					return err
				}
				return a.fileSend(ctx, c, req, wait)
			})
		},
	}
	cmd.Flags().StringVar(&caption, "caption", "", "`TEXT` to go with it")
	cmd.Flags().BoolVar(&wait, "wait", false, "show how it goes, until it was given or cannot be; Ctrl+C leaves it going on")
	return cmd
}

func (a *app) fileSend(ctx context.Context, c *client.Client, req *pluginpb.InvokeRequest, wait bool) error {
	result, err := c.InvokeAction(ctx, filePlugin, req, nil)
	if err != nil {
		return err
	}
	resp, err := c.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: req.GetChat(), Ids: result.GetSent()})
	if err != nil {
		return err
	}
	var blobs []*controlpb.Blob
	for _, m := range resp.GetMessages() {
		left := leftOut(m)
		for _, b := range m.GetBlobs() {
			blobs = append(blobs, b)
			if a.json {
				object := blobJSON(b)
				object.leftOutThings = left
				if err := a.object(object); err != nil {
					return err
				}
				continue
			}
			if !wait { // else it is shown how it goes
				a.printf("Offered %s, %s: %s\n", blobName(b), bytesize.Text(b.GetBlob().GetSize()), shortID(b))
			}
			a.printf("%s", left.lines(blobName(b)))
		}
	}
	if wait {
		return a.watchBlobs(ctx, c, blobs)
	}
	return nil
}

// leftOut reads what of a folder was not offered from the data of its message;
// see Data of plugins/file.
func leftOut(m *controlpb.Message) (l leftOutThings) {
	_ = json.Unmarshal(m.GetData(), &l) // of a plugin that says nothing of the kind there is nothing
	return l
}

// leftOutThings is what of a folder was not offered: the first of it, and how much
// there is.
type leftOutThings struct {
	LeftOut []struct {
		Path string `json:"path"`
		Why  string `json:"why"`
	} `json:"left_out,omitempty"`
	LeftOutCount uint32 `json:"left_out_count,omitempty"`
}

// lines tells it, each on a line of its own.
func (l leftOutThings) lines(folder string) string {
	if l.LeftOutCount == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Left out of %s:\n", folder)
	for _, e := range l.LeftOut {
		fmt.Fprintf(&b, "  %s: %s\n", client.PrintableLine(e.Path), client.PrintableLine(e.Why))
	}
	if more := int(l.LeftOutCount) - len(l.LeftOut); more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}

func (a *app) fileListCommand() *cobra.Command {
	req := &controlpb.ListBlobsRequest{}
	var all, watch bool
	cmd := &cobra.Command{
		Use:   "list [WHO]",
		Short: "List transfers and offers that are not over, the newest first",
		Args:  needArgs(0, 1),

		ValidArgsFunction: a.chats(),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Active = !all
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if len(args) > 0 {
					var err error
					if req.Chat, err = resolveChat(ctx, c, args[0]); err != nil {
						return err
					}
				}
				resp, err := c.ListBlobs(ctx, req)
				if err != nil {
					return err
				}
				if watch {
					return a.watchBlobs(ctx, c, resp.GetBlobs())
				}
				if err := a.listBlobs(ctx, c, resp.GetBlobs()); err != nil {
					return err
				}
				if n := len(resp.GetBlobs()); n == int(req.GetLimit()) && n > 0 && !a.json {
					a.printf("These are the newest %d; more: parley file list -n N (at most %d)\n", n, maxBlobs)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that are over too")
	cmd.Flags().BoolVar(&watch, "watch", false, "show how they go, until all are over; Ctrl+C leaves them going on")
	cmd.Flags().Uint32VarP(&req.Limit, "number", "n", 100, "at most `N`; 500 is the most")
	return cmd
}

func (a *app) listBlobs(ctx context.Context, c *client.Client, blobs []*controlpb.Blob) error {
	if a.json {
		for _, b := range blobs {
			if err := a.object(blobJSON(b)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(blobs) == 0 {
		a.println("No transfers. Send something: parley file send WHO PATH")
		return nil
	}
	r, err := readerOfAll(ctx, c)
	if err != nil {
		return err
	}
	messages, err := messagesOf(ctx, c, blobs)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "WHO", "NAME", "SIZE", "STATE"}}
	for _, b := range blobs {
		m := messages[string(b.GetBlob().GetMessage())]
		rows = append(rows, []string{shortID(b), blobWho(r, b, m), cut(blobName(b), 40), bytesize.Text(b.GetBlob().GetSize()), offerState(b, m)})
	}
	a.table(rows)
	return nil
}

// messagesOf gives the messages that transfers are of, by their ids.
func messagesOf(ctx context.Context, c *client.Client, blobs []*controlpb.Blob) (map[string]*controlpb.Message, error) {
	ids := map[string][][]byte{}
	for _, b := range blobs { // at most maxBlobs, which is as many as can be asked for at once
		ids[b.GetBlob().GetChat()] = append(ids[b.GetBlob().GetChat()], b.GetBlob().GetMessage())
	}
	messages := map[string]*controlpb.Message{}
	for chat, of := range ids {
		resp, err := c.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: chat, Ids: of})
		if status.Code(err) == codes.NotFound {
			continue // the chat was removed just now
		}
		if err != nil {
			return nil, err
		}
		for _, m := range resp.GetMessages() {
			messages[string(m.GetId())] = m
		}
	}
	return messages, nil
}

// fileAction is a command that has the plugin do something with transfers. Those
// in other states than these are refused here, where it can be said why.
func (a *app) fileAction(action, short string, wait bool, states ...pluginpb.BlobState) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: action + " ID...", Short: short, Args: needArgs(1, -1),
		ValidArgsFunction: a.blobIDs(action, states),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				var touched []*controlpb.Blob
				for _, id := range args {
					b, err := findBlob(ctx, c, id)
					if err != nil {
						return err
					}
					if err := a.fileDo(ctx, c, action, b, states); err != nil {
						return err
					}
					touched = append(touched, b)
				}
				if watch {
					return a.watchBlobs(ctx, c, touched)
				}
				return nil
			})
		},
	}
	if wait {
		cmd.Flags().BoolVar(&watch, "wait", false, "show how it goes, until it is here or cannot be had; Ctrl+C leaves it going on")
	}
	return cmd
}

func (a *app) fileDo(ctx context.Context, c *client.Client, action string, b *controlpb.Blob, states []pluginpb.BlobState) error {
	name := client.PrintableLine(b.GetBlob().GetName())
	if !slices.Contains(states, b.GetBlob().GetState()) {
		return fmt.Errorf("%s is %s: there is nothing to %s", name, blobState(b), action)
	}
	if action == "resume" && b.GetBlob().GetState() == pluginpb.BlobState_BLOB_STATE_FAILED {
		action = "accept"
	}
	_, err := c.InvokeAction(ctx, b.GetPlugin(), &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: action, Chat: b.GetBlob().GetChat(), Message: b.GetBlob().GetMessage(),
	}, nil)
	if err != nil {
		return err
	}
	resp, err := c.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: b.GetBlob().GetChat(), Ids: [][]byte{b.GetBlob().GetMessage()}})
	if err != nil {
		return err
	}
	for _, m := range resp.GetMessages() {
		for _, now := range m.GetBlobs() {
			if string(now.GetBlob().GetId()) == string(b.GetBlob().GetId()) {
				return a.done(blobJSON(now), "%s: %s", name, offerState(now, m))
			}
		}
	}
	return a.done(map[string]any{"id": idString(b.GetBlob().GetId())}, "%s: done", name)
}

// maxBlobs is how many transfers are shown at most.
const maxBlobs = 500

// findBlob finds a transfer by the end of its id.
func findBlob(ctx context.Context, c *client.Client, id string) (*controlpb.Blob, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	if len(id) < 4 {
		return nil, usagef("%q is no id of a transfer; those there are: parley file list --all", id)
	}
	resp, err := c.ListBlobs(ctx, &controlpb.ListBlobsRequest{IdEnd: id, Limit: 2})
	switch found := resp.GetBlobs(); {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("there is no transfer %s; those there are: parley file list --all", id)
	case len(found) > 1:
		return nil, usagef("%q is the end of more than one id; give more of it: parley file list --all --json shows them whole", id)
	default:
		return found[0], nil
	}
}

// blobIDs offers the transfers that are in one of these states.
func (a *app) blobIDs(action string, states []pluginpb.BlobState) cobra.CompletionFunc {
	offer := a.complete(func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListBlobs(ctx, &controlpb.ListBlobsRequest{Limit: maxBlobs})
		var ids []string
		for _, b := range resp.GetBlobs() {
			if takes(action, states, b) {
				ids = append(ids, cobra.CompletionWithDesc(shortID(b), client.PrintableLine(b.GetBlob().GetName())))
			}
		}
		return ids, err
	})
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return offer(cmd, nil, typed) // any number of them
	}
}

// takes says whether a transfer can be offered for an action on those in some states:
// what is of 2019 is pushed and cannot be paused.
func takes(action string, states []pluginpb.BlobState, b *controlpb.Blob) bool {
	if action == "pause" && packet.ChatID(b.GetBlob().GetChat()).Kind() == packet.Net2019 {
		return false
	}
	return slices.Contains(states, b.GetBlob().GetState())
}

// shortID is the random end of an id.
func shortID(b *controlpb.Blob) string {
	id := idString(b.GetBlob().GetId())
	return id[max(len(id)-8, 0):]
}

// blobName is how a transfer is called.
func blobName(b *controlpb.Blob) string {
	name := client.PrintableLine(b.GetBlob().GetName())
	if b.GetBlob().GetFolder() {
		name += "/"
	}
	return name
}

// blobWho is the other side of a transfer: a person, or a group and who of it offers
// the file.
func blobWho(r reader, b *controlpb.Blob, m *controlpb.Message) string {
	name := r.chats[b.GetBlob().GetChat()]
	if name == "" {
		name = b.GetBlob().GetChat() // removed
	}
	if m != nil && !m.GetOwn() && packet.ChatID(m.GetChat()).Kind() == packet.Group {
		name += " (" + m.GetAuthor() + ")"
	}
	return name
}

// offerState is blobState, and of what was declined that it was; see Data of
// plugins/file.
func offerState(b *controlpb.Blob, m *controlpb.Message) string {
	var data struct {
		State string `json:"state"`
	}
	if b.GetBlob().GetState() == pluginpb.BlobState_BLOB_STATE_CANCELLED && json.Unmarshal(m.GetData(), &data) == nil && data.State == "declined" {
		return "declined"
	}
	return blobState(b)
}

// blobState is how a transfer is, in words.
func blobState(b *controlpb.Blob) string {
	own, size := b.GetBlob().GetOwn(), b.GetBlob().GetSize()
	switch b.GetBlob().GetState() {
	case pluginpb.BlobState_BLOB_STATE_OFFERED:
		if b.GetDone() > 0 && b.GetDone() < size { // of 2019, which comes before anybody asks
			return "offered, " + percent(b.GetDone(), size) + " is here; get it: parley file accept " + shortID(b)
		}
		return "offered; get it: parley file accept " + shortID(b)
	case pluginpb.BlobState_BLOB_STATE_PAUSED:
		return "paused at " + percent(b.GetDone(), size)
	case pluginpb.BlobState_BLOB_STATE_DONE:
		if own {
			return "sent"
		}
		return "here: " + client.PrintableLine(b.GetBlob().GetPath())
	case pluginpb.BlobState_BLOB_STATE_FAILED:
		return "failed: " + client.PrintableLine(b.GetBlob().GetReason())
	case pluginpb.BlobState_BLOB_STATE_CANCELLED:
		if reason := b.GetBlob().GetReason(); reason != "" {
			return "cancelled: " + client.PrintableLine(reason)
		}
		return "cancelled"
	}
	switch {
	case b.GetSpeed() > 0:
		left := ""
		if b.GetLeft() > 0 {
			left = ", " + (time.Duration(b.GetLeft()) * time.Second).String() + " left"
		}
		return fmt.Sprintf("%s, %s/s%s", percent(b.GetDone(), size), bytesize.Text(b.GetSpeed()), left)
	case own && b.GetDone() >= size && b.GetDone() > 0:
		return "given"
	case own && b.GetDone() > 0:
		return "given to " + percent(b.GetDone(), size)
	case own:
		return "offered"
	case b.GetWaiting() != "":
		return percent(b.GetDone(), size) + ", waits: " + client.PrintableLine(b.GetWaiting())
	}
	return percent(b.GetDone(), size)
}

func percent(done, size uint64) string {
	if size == 0 {
		return "100%"
	}
	return fmt.Sprintf("%d%%", done*100/size)
}

// jsonBlob is a transfer in the output.
type jsonBlob struct {
	ID      string   `json:"id"`
	Chat    string   `json:"chat"`
	Message string   `json:"message"`
	Own     bool     `json:"own"`
	Name    string   `json:"name"`
	Size    uint64   `json:"size"`
	Folder  bool     `json:"folder,omitempty"`
	Files   uint32   `json:"files,omitempty"`
	State   string   `json:"state"`
	Reason  string   `json:"reason,omitempty"`
	Done    uint64   `json:"done"`
	Speed   uint64   `json:"speed,omitempty"`
	Left    uint64   `json:"seconds_left,omitempty"`
	Waiting string   `json:"waiting,omitempty"`
	Peers   []string `json:"peers,omitempty"`
	Path    string   `json:"path,omitempty"`
	leftOutThings
}

func blobJSON(b *controlpb.Blob) jsonBlob {
	p := b.GetBlob()
	return jsonBlob{
		ID: idString(p.GetId()), Chat: p.GetChat(), Message: idString(p.GetMessage()), Own: p.GetOwn(), Name: p.GetName(), Size: p.GetSize(),
		Folder: p.GetFolder(), Files: p.GetFiles(), State: strings.ToLower(strings.TrimPrefix(p.GetState().String(), "BLOB_STATE_")),
		Reason: p.GetReason(), Done: b.GetDone(), Speed: b.GetSpeed(), Left: b.GetLeft(), Waiting: b.GetWaiting(), Peers: b.GetPeers(),
		Path: p.GetPath(),
	}
}

// errTransfers says that not all transfers went well; why stands above it.
var errTransfers = errors.New("not all of it could be transferred")

// absolutePaths gives what a person named, as the core is told of it.
func absolutePaths(paths []string) ([]string, error) {
	all := make([]string, 0, len(paths))
	for _, path := range paths {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", path, err)
		}
		if !utf8.ValidString(absolute) {
			return nil, usagef("the name %q is not UTF-8: rename it first", absolute)
		}
		all = append(all, absolute)
	}
	return all, nil
}
