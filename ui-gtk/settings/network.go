package settings

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// network is how this device is connected, the doctor, and the directory on this
// computer.
func (p *Preferences) network() gtk.IWidget {
	t, s := p.window.Texts(), p.window.Session()
	facts, links := newFacts(), newFacts()
	none := widget.Class(widget.Label(t.T("No direct link at the moment."), "dim"), "group-row")
	none.SetNoShowAll(true)
	links.PackEnd(none, false, false, 0)
	p.own(s.Status.Observe(func(st *controlpb.Status) {
		d := st.GetDirectory()
		connected := t.T("not connected")
		if d.GetConnected() {
			connected = t.T("connected")
		} else if d.GetError() != "" {
			connected = s.DirectoryProblem()
		}
		facts.show(
			fact{title: t.T("Directory"), value: d.GetAddress()}, fact{title: t.T("State"), value: connected},
			fact{title: t.T("Fingerprint"), value: fingerprint(d.GetFingerprint())},
			fact{title: t.T("Others reach this device at"), value: strings.Join(st.GetEndpoints(), "\n")})
		var now []fact
		for _, l := range st.GetLinks() {
			text := s.PathName(l.GetPath()) + ", " + l.GetRemote()
			if l.GetRoundTrip() > 0 {
				// Translators: round-trip time of a link.
				text += ", " + t.F("%s ms", roundTrip(l.GetRoundTrip()))
			}
			key := fmt.Sprintf("%s %s %s %d", l.GetUser(), l.GetDevice(), l.GetRemote(), l.GetSince())
			now = append(now, fact{key, s.Contacts.Name(l.GetUser()), text})
		}
		links.show(now...)
		none.SetVisible(len(now) == 0)
	}))
	groups := []gtk.IWidget{
		widget.Column(0, widget.Label(t.T("Network"), "heading"), facts),
		p.doctor(),
		widget.Column(0, widget.Label(t.T("Direct links"), "heading"), links),
	}
	if hosting := p.hosting(); hosting != nil {
		groups = append(groups, hosting)
	}
	return sheet(groups...)
}

// fingerprint is in groups of four, which wrap.
func fingerprint(hex string) string {
	var groups []string
	for len(hex) > 4 {
		groups, hex = append(groups, hex[:4]), hex[4:]
	}
	return strings.Join(append(groups, hex), " ")
}

// roundTrip gives milliseconds, of which small ones have decimals.
func roundTrip(micros int64) string {
	decimals := 0
	if micros < 10_000 {
		decimals = 2
	}
	return strconv.FormatFloat(float64(micros)/1000, 'f', decimals, 64)
}

// doctor says why two people cannot connect.
func (p *Preferences) doctor() *gtk.Box {
	t, s := p.window.Texts(), p.window.Session()
	d := s.NewDoctor()
	p.own(d.Stop)
	contacts := widget.Must(gtk.ComboBoxTextNew())
	contacts.Append("", t.T("nobody in particular"))
	for _, r := range s.Contacts.Rows.Rows() {
		if r.Contact.GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT {
			contacts.Append(r.RowKey(), r.Name)
		}
	}
	contacts.SetActive(0)
	spinner := widget.Must(gtk.SpinnerNew())
	begin := widget.Button(t.T("Examine"), func() { d.Examine(contacts.GetActiveID()) }, "suggested-action")
	controls := widget.Row(8, spinner, contacts, begin)
	found := widget.Class(widget.Column(0), "group")
	found.SetNoShowAll(true)
	problem := widget.Label("", "danger")
	problem.SetNoShowAll(true)
	p.own(d.Running.Observe(func(running bool) {
		if running {
			spinner.Start()
		} else {
			spinner.Stop()
		}
		begin.SetSensitive(!running)
	}))
	p.own(d.Problem.Observe(func(text string) {
		problem.SetText(text)
		problem.SetVisible(text != "")
	}))
	p.own(d.Findings.Observe(func(steps []viewmodel.Change[viewmodel.Finding]) {
		for _, step := range steps {
			switch step.Kind {
			case viewmodel.Inserted:
				row := findingRow(p, step.Row)
				found.PackStart(row, false, false, 0)
				row.ShowAll()
			case viewmodel.Removed:
				widget.Clear(found)
			}
		}
		found.SetVisible(d.Findings.Len() > 0)
	}))
	return widget.Column(0, widget.Label(t.T("Doctor"), "heading"),
		widget.Label(t.T("Finds out why you and somebody else cannot connect."), "dim", "explanation"),
		widget.Class(widget.Column(0, newItem(t.T("Connection with"), "", controls).Box), "group"), problem, found)
}

// findingRow is one finding: a mark, what was looked at, and what was seen.
func findingRow(p *Preferences, f viewmodel.Finding) *gtk.Box {
	t := p.window.Texts()
	icon, class, word := "emblem-ok-symbolic", "ok", t.T("All right")
	switch f.Result {
	case viewmodel.FindingWarning:
		icon, class, word = "dialog-warning-symbolic", "warn", t.T("Warning")
	case viewmodel.FindingFailed:
		icon, class, word = "dialog-error-symbolic", "danger", t.T("Failed")
	}
	image := widget.Class(widget.Must(gtk.ImageNewFromIconName(icon, gtk.ICON_SIZE_BUTTON)), class)
	image.SetVAlign(gtk.ALIGN_START)
	gtkx.SetName(image, word)
	text := widget.Label(f.Text, "dim", "small")
	text.SetSelectable(true)
	words := widget.Column(2, widget.Label(f.Check), text)
	return widget.Class(widget.Row(12, image, words), "group-row")
}
