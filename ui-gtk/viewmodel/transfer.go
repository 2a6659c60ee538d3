package viewmodel

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// Transfer is a file, picture or folder of a message, and how far it is.
type Transfer struct {
	Name   string
	Folder bool
	// Icon is the name of a freedesktop icon for its kind.
	Icon string
	// Line says its size, how far it is, how fast and why it waits.
	Line string
	// Fraction of it that is here, or that has been given away; -1 when nothing
	// is under way.
	Fraction float64
	// Failed: Line says why it cannot be had.
	Failed  bool
	Caption Text
	// Orders are what can be done now, the first of them what most want.
	Orders []Order
	// Path is where it lies on this computer; empty while it is not here.
	Path string
	// Width and Height of a picture in pixels; 0 when it is none.
	Width, Height int
	// Thumbnail is a small JPEG that came with it, or empty.
	Thumbnail []byte
	Media     string
}

// Order is something that can be done with a transfer.
type Order string

// Orders: the names of the file plugin's actions, and two of the window's own.
const (
	OrderAccept  Order = "accept"
	OrderDecline Order = "decline"
	OrderPause   Order = "pause"
	OrderResume  Order = "resume"
	OrderCancel  Order = "cancel"
	OrderRetry   Order = "retry"
	OrderOpen    Order = "open"
	OrderShow    Order = "show"
)

// OrderLabel is what a button for an order says.
func (c *Conversation) OrderLabel(o Order) string {
	t := c.session.Texts()
	switch o {
	case OrderAccept:
		return t.T("Download")
	case OrderDecline:
		return t.T("Decline")
	case OrderPause:
		return t.T("Pause")
	case OrderResume:
		return t.T("Resume")
	case OrderCancel:
		return t.T("Cancel")
	case OrderRetry:
		return t.T("Try again")
	case OrderOpen:
		return t.T("Open")
	case OrderShow:
		return t.T("Show in folder")
	}
	return string(o)
}

const filePlugin = "file"

// fileData is what the file plugin keeps with its messages.
type fileData struct {
	Name      string `json:"name"`
	Size      uint64 `json:"size"`
	Folder    bool   `json:"folder"`
	Files     uint32 `json:"files"`
	Media     string `json:"media_type"`
	Caption   string `json:"caption"`
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	Thumbnail []byte `json:"thumbnail"`
	State     string `json:"state"`
	Reason    string `json:"reason"`
	Path      string `json:"path"`
	LeftOut   uint32 `json:"left_out_count"`
}

// transfer makes what is drawn of a message of the file plugin; nil for others,
// and for those whose data cannot be read.
func (c *Conversation) transfer(m *controlpb.Message) *Transfer {
	if m.GetPlugin() != filePlugin || len(m.GetData()) == 0 {
		return nil
	}
	var d fileData
	if json.Unmarshal(m.GetData(), &d) != nil {
		return nil
	}
	t := &Transfer{
		Name: client.PrintableLine(firstRunes(d.Name, 300)), Folder: d.Folder, Icon: iconOf(d), Fraction: -1, Media: d.Media,
		Thumbnail: d.Thumbnail,
	}
	if d.Caption != "" {
		t.Caption = ParseText(d.Caption, true, c.find.words)
	}
	if m.GetPresentation() == pluginpb.Presentation_PRESENTATION_IMAGE && d.Width > 0 && d.Height > 0 {
		t.Width, t.Height = d.Width, d.Height
	}
	var b *controlpb.Blob
	for _, x := range m.GetBlobs() {
		if newer := c.blobs[string(x.GetBlob().GetId())]; newer != nil {
			x = newer
		}
		b = x
	}
	p := progress{t: t, texts: c.session.Texts(), data: d, blob: b, contacts: c.session.Contacts, tell: c.session.tell, said: c.session.said, limited: c.limited()}
	if m.GetOwn() {
		p.own(m)
	} else {
		p.others()
	}
	return t
}

// progress fills in how far a transfer is.
type progress struct {
	t        *Transfer
	texts    *texts.Texts
	data     fileData
	blob     *controlpb.Blob
	contacts *Contacts
	tell     func(reason, string) string
	said     func(string) string
	// limited: of 2019, whose files are pushed, cannot be paused and are not sent
	// again when somebody asks.
	limited bool
}

// steers are the orders for what is under way.
func (p *progress) steers() []Order {
	if p.limited {
		return []Order{OrderCancel}
	}
	return []Order{OrderPause, OrderCancel}
}

// again gives the order to get what was refused before, if there can be such.
func (p *progress) again() []Order {
	if p.limited {
		return nil
	}
	return []Order{OrderAccept}
}

func (p *progress) others() {
	state := p.blob.GetBlob().GetState()
	switch p.data.State {
	case "offered":
		if p.limited && p.blob.GetDone() > 0 && p.blob.GetDone() < p.data.Size {
			p.moving(OrderAccept, OrderDecline)
			return
		}
		p.say(p.size())
		p.t.Orders = []Order{OrderAccept, OrderDecline}
	case "fetching":
		switch state {
		case pluginpb.BlobState_BLOB_STATE_PAUSED:
			p.paused()
		case pluginpb.BlobState_BLOB_STATE_FAILED:
			p.failed(p.blob.GetBlob().GetReason(), OrderRetry)
		default:
			p.moving(p.steers()...)
		}
	case "received":
		p.say(p.size())
		p.here(p.data.Path)
	case "failed":
		p.failed(p.data.Reason, OrderRetry)
	case "declined":
		p.say(p.size(), p.texts.T("Declined"))
		p.t.Orders = p.again()
	case "cancelled":
		p.say(p.size(), p.texts.T("Cancelled"))
		p.t.Orders = p.again()
	case "withdrawn":
		p.failed(p.data.Reason)
		if p.data.Reason == "" {
			p.t.Line = p.texts.T("Withdrawn by its sender")
		}
	default: // of a later version
		p.say(p.size())
	}
}

func (p *progress) own(m *controlpb.Message) {
	switch p.data.State {
	case "withdrawn":
		p.say(p.size(), p.texts.T("Cancelled"))
		p.here(p.data.Path)
		return
	case "failed":
		p.failed(p.data.Reason)
		return
	}
	switch p.blob.GetBlob().GetState() {
	case pluginpb.BlobState_BLOB_STATE_FAILED:
		p.failed(p.blob.GetBlob().GetReason())
		return
	case pluginpb.BlobState_BLOB_STATE_PAUSED:
		p.paused()
		return
	case pluginpb.BlobState_BLOB_STATE_DONE: // of 2019: it went to all, who say nothing
		p.say(p.size())
		p.here(p.data.Path)
		return
	}
	received, problems := 0, []string{}
	for _, a := range m.GetAnnotations() {
		if a.GetKind() != "file.state" || a.GetAuthor() == m.GetAuthor() {
			continue
		}
		var mark struct{ State, Reason string }
		if json.Unmarshal(a.GetValue(), &mark) != nil {
			continue
		}
		who := p.contacts.Name(a.GetAuthor())
		switch mark.State {
		case "received":
			received++
		case "failed":
			// Translators: who could not get a file, and why.
			problems = append(problems, p.texts.F("%[1]s could not get it: %[2]s", who, p.said(mark.Reason)))
		case "declined":
			problems = append(problems, p.texts.F("Declined by %s", who))
		case "cancelled":
			problems = append(problems, p.texts.F("Cancelled by %s", who))
		}
	}
	others := len(m.GetRecipients())
	switch {
	case others > 0 && received >= others:
		p.say(p.size(), p.texts.T("Received"))
	case len(problems) > 0 && received+len(problems) >= others:
		p.say(append([]string{p.size()}, problems[:min(len(problems), 3)]...)...)
	case p.blob.GetSpeed() > 0 || p.blob.GetDone() > 0 && p.blob.GetDone() < p.data.Size:
		p.moving(p.steers()...)
		return
	default:
		p.say(p.size(), p.tell(p.blob.GetWaitingReason(), p.blob.GetWaiting()))
		p.t.Orders = []Order{OrderCancel}
		if p.blob == nil {
			p.t.Orders = nil
		}
	}
	if p.data.LeftOut > 0 {
		p.t.Line += " · " + p.texts.N("%d thing could not be sent", "%d things could not be sent", int(p.data.LeftOut))
	}
	p.here(p.data.Path)
}

func (p *progress) size() string {
	size := p.texts.Size(p.data.Size)
	if p.data.Folder {
		return p.texts.N("%d file", "%d files", int(p.data.Files)) + " · " + size
	}
	return size
}

// say puts parts that are not empty into the line.
func (p *progress) say(parts ...string) {
	p.t.Line = strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

func (p *progress) here(path string) {
	if !filepath.IsAbs(path) {
		return
	}
	p.t.Path = path
	p.t.Orders = append(p.t.Orders, OrderOpen, OrderShow)
}

func (p *progress) failed(reason string, orders ...Order) {
	p.t.Failed, p.t.Orders = true, orders
	if p.t.Line = p.said(reason); p.t.Line == "" {
		p.t.Line = p.texts.T("It cannot be had")
	}
}

func (p *progress) part() string {
	// Translators: sizes, as in "4.6 MB of 12.8 MB".
	return p.texts.F("%[1]s of %[2]s", p.texts.Size(min(p.blob.GetDone(), p.data.Size)), p.texts.Size(p.data.Size))
}

func (p *progress) fraction() {
	p.t.Fraction = 0
	if p.data.Size > 0 {
		p.t.Fraction = min(1, float64(p.blob.GetDone())/float64(p.data.Size))
	}
}

func (p *progress) paused() {
	p.fraction()
	p.say(p.texts.T("Paused"), p.part(), p.tell(p.blob.GetWaitingReason(), p.blob.GetWaiting()))
	p.t.Orders = []Order{OrderResume, OrderCancel}
}

func (p *progress) moving(orders ...Order) {
	p.fraction()
	p.t.Orders = orders
	if p.blob.GetSpeed() == 0 {
		waiting := p.tell(p.blob.GetWaitingReason(), p.blob.GetWaiting())
		if waiting == "" {
			waiting = p.texts.T("Waiting")
		}
		p.say(p.part(), waiting)
		return
	}
	left := ""
	if s := p.blob.GetLeft(); s > 0 && s < 100*24*3600 {
		left = p.texts.Left(time.Duration(s) * time.Second)
	}
	path := ""
	if peers := p.blob.GetPeers(); len(peers) > 0 {
		path = PathText(p.texts, p.contacts.Get(peers[0]).GetPath())
	}
	p.say(p.part(), p.texts.Speed(p.blob.GetSpeed()), left, path)
}

// PathText says over what a link goes.
func PathText(t *texts.Texts, path string) string {
	switch path {
	case "lan":
		return t.T("local network")
	case "direct":
		return t.T("direct")
	case "relay":
		return t.T("relayed")
	case "loopback":
		return t.T("this computer")
	}
	return ""
}

// iconOf gives the name of a freedesktop icon for a kind of file.
func iconOf(d fileData) string {
	if d.Folder {
		return "folder-symbolic"
	}
	kind, sub, _ := strings.Cut(d.Media, "/")
	switch kind {
	case "image":
		return "image-x-generic-symbolic"
	case "audio":
		return "audio-x-generic-symbolic"
	case "video":
		return "video-x-generic-symbolic"
	case "font":
		return "font-x-generic-symbolic"
	case "application":
		switch {
		case strings.Contains(sub, "zip") || strings.Contains(sub, "tar") || strings.Contains(sub, "compressed") || strings.Contains(sub, "archive"):
			return "package-x-generic-symbolic"
		case strings.Contains(sub, "spreadsheet") || strings.Contains(sub, "excel"):
			return "x-office-spreadsheet-symbolic"
		case strings.Contains(sub, "presentation") || strings.Contains(sub, "powerpoint"):
			return "x-office-presentation-symbolic"
		case sub == "pdf" || strings.Contains(sub, "document") || strings.Contains(sub, "msword"):
			return "x-office-document-symbolic"
		case strings.Contains(sub, "executable") || strings.Contains(sub, "x-sh"):
			return "application-x-executable-symbolic"
		}
	}
	return "text-x-generic-symbolic"
}

// programs are endings of names that desktops run.
var programs = []string{
	".appimage", ".bash", ".bat", ".bin", ".cmd", ".com", ".csh", ".deb", ".desktop", ".exe", ".flatpakref", ".jar", ".js", ".ksh", ".lnk",
	".msi", ".out", ".php", ".pl", ".ps1", ".py", ".pyw", ".rb", ".rpm", ".run", ".scr", ".sh", ".snap", ".tcl", ".url", ".vbs", ".wsf", ".zsh",
}

// RunsCode says whether opening a file may run what somebody sent: by its name, by
// its permissions and by how it begins. What cannot be looked at may.
func RunsCode(path string) bool {
	if slices.Contains(programs, strings.ToLower(filepath.Ext(path))) {
		return true
	}
	info, err := os.Stat(path)
	if err != nil {
		return true
	}
	if info.IsDir() {
		return false
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 != 0 {
		return true
	}
	f, err := os.Open(path) //nolint:gosec // where the file plugin says the file is
	if err != nil {
		return true
	}
	defer func() { _ = f.Close() }() // only read
	head := make([]byte, 32)
	n, err := io.ReadFull(f, head)
	if err != nil && n == 0 && info.Size() > 0 {
		return true
	}
	head = head[:n]
	for _, magic := range []string{"#!", "\x7fELF", "MZ", "[Desktop Entry]"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}
