package settings

import (
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// net2019Page is talking with people of 2019: off, until one says how one logs in.
type net2019Page struct {
	*Preferences
	model *viewmodel.Net2019

	on        *item
	onSwitch  *gtk.Switch
	setting   bool // the switch is set here, not by a person
	wanted    bool // the form is there, though it is off yet
	form      *gtk.Box
	elsewhere *gtk.Box // of the form: what only other servers need
	problem   *gtk.Label
	fields    map[viewmodel.Net2019Field]*item
	entries   map[viewmodel.Net2019Field]*gtk.Entry
	submit    *gtk.Button
	spinner   *gtk.Spinner
	was       viewmodel.Net2019View
	portRow   *item
}

// net2019 is the group on the page of the account.
func (p *Preferences) net2019() gtk.IWidget {
	t := p.window.Texts()
	n := &net2019Page{
		Preferences: p, model: p.window.Session().OpenNet2019(),
		fields: map[viewmodel.Net2019Field]*item{}, entries: map[viewmodel.Net2019Field]*gtk.Entry{},
	}
	p.own(n.model.Close)
	n.on, n.onSwitch = switchItem(t.T("Talk with people of 2019"), " ", false, n.toggled)
	n.build()
	p.own(n.model.View.Observe(n.draw))
	lock := widget.OpenLock(t.T("Not encrypted"), true)
	lock.SetMarginBottom(4)
	return widget.Column(0, widget.Label(t.T("The chat program of 2019"), "heading"), lock,
		widget.Label(t.T("Some people still use it. What is said with them anybody on the way can read and change; your other chats stay encrypted."), "dim", "explanation"),
		widget.Class(widget.Column(0, n.on, n.form), "group"), n.problem)
}

func (n *net2019Page) build() {
	t, f := n.window.Texts(), &n.model.Form
	id := n.entry(viewmodel.Net2019ID, t.T("Your id"), t.T("Ten digits, by which people of 2019 find you"), "2017000001", f.ID, func(s string) { f.ID = s })
	here, there := "here", "there"
	now := here
	if f.Elsewhere {
		now = there
	}
	where, _ := choiceItem(t.T("Log in at"), "", []choice{{here, t.T("your directory")}, {there, t.T("a server of 2019")}}, now, func(v string) {
		f.Elsewhere = v == there
		n.model.Typed()
		n.look()
	})
	server := n.entry(viewmodel.Net2019Server, t.T("Server"), t.T("HOST, or HOST:PORT"), "chat.example.org:5555", f.Server, func(s string) { f.Server = s })
	password := n.entry(viewmodel.Net2019Password, t.T("Password of the server"), t.T("All who use it have the same one"), "", f.Password, func(s string) { f.Password = s })
	n.entries[viewmodel.Net2019Password].SetVisibility(false)
	n.entries[viewmodel.Net2019Password].SetInputPurpose(gtk.INPUT_PURPOSE_PASSWORD)
	course, _ := switchItem(t.T("Log in as at the course's server"), t.T("Without a port: others connect to 2333"), f.Course, func(on bool) {
		f.Course = on
		n.model.Typed()
		n.look()
	})
	n.portRow = n.entry(viewmodel.Net2019Port, t.T("Port"), t.T("Where others connect; empty takes 2333 if that is free"), "2333", f.Port, func(s string) { f.Port = s })
	n.spinner = widget.Must(gtk.SpinnerNew())
	n.submit = widget.Button(t.T("Log in"), n.model.LogIn, "suggested-action")
	ending := newItem("", "", widget.Row(8, n.spinner, n.submit))
	gtkx.SetName(n.submit, t.T("Log in with 2019"))
	n.elsewhere = hiddenRows(server, password, course)
	n.portRow.ShowAll()
	n.portRow.SetNoShowAll(true)
	n.form = hiddenRows(id, where, n.elsewhere, n.portRow, ending)
	n.problem = widget.Label("", "danger")
	n.problem.SetNoShowAll(true)
	gtkx.SetRole(n.problem, gtkx.RoleAlert)
}

// hiddenRows are rows that are shown only at times.
func hiddenRows(rows ...gtk.IWidget) *gtk.Box {
	b := widget.Column(0, rows...)
	b.ShowAll()
	b.SetNoShowAll(true)
	b.Hide()
	return b
}

// entry is a row with something to be written.
func (n *net2019Page) entry(field viewmodel.Net2019Field, title, description, placeholder, value string, set func(string)) *item {
	e := widget.Must(gtk.EntryNew())
	e.SetText(value)
	e.SetPlaceholderText(placeholder)
	e.SetWidthChars(22)
	e.Connect("changed", func() {
		set(widget.Must(e.GetText()))
		n.model.Typed()
	})
	e.Connect("activate", n.model.LogIn)
	row := newItem(title, description, e)
	n.fields[field], n.entries[field] = row, e
	return row
}

// toggled switches it off, or shows what is needed to switch it on. The first time it is
// explained before.
func (n *net2019Page) toggled(on bool) {
	if n.setting {
		return
	}
	if !on {
		n.wanted = false
		if n.model.View.Get().On {
			n.model.Off() // draws when it is done
			return
		}
		n.look()
		return
	}
	if n.window.Preferences().Value.Get().ToldNet2019 {
		n.wanted = true
		n.look()
		return
	}
	t := n.window.Texts()
	widget.Later(func() {
		yes := n.native != nil && widget.Ask(n.native, t.T("This is not encrypted"), t.T("The chat program of 2019 sends everything as it is. Everybody on the way, in your network or theirs, can read what you write to its people, change it, and write in your name. Nothing proves who somebody is.")+"\n\n"+
			t.T("Your other chats are not touched: they stay end-to-end encrypted. An open red lock marks those that are not."), t.T("Go on"), t.T("Cancel"), true)
		if n.native == nil {
			return
		}
		if n.wanted = yes; yes {
			n.change(func(p *viewmodel.Preferences) { p.ToldNet2019 = true })
		}
		n.look()
		if yes {
			n.entries[viewmodel.Net2019ID].GrabFocus()
		}
	})()
}

func (n *net2019Page) draw(v viewmodel.Net2019View) {
	// The core says that it is on while it tries; only once it has worked does the form
	// stand and fall with that.
	if n.was.Busy != "" && v.Busy == "" && v.On && v.Problem == "" {
		n.wanted = false
	}
	n.was = v
	for field, row := range n.fields {
		problem := ""
		if v.Field == field {
			problem = v.Problem
		}
		row.setProblem(problem)
		entry := n.entries[field]
		widget.SetClass(entry, "error", problem != "")
		gtkx.SetDescription(entry, problem)
		entry.SetSensitive(v.Busy == "")
	}
	if password := n.entries[viewmodel.Net2019Password]; n.model.Form.Password == "" && widget.Must(password.GetText()) != "" {
		password.SetText("") // it is logged in
	}
	if v.Field != viewmodel.Net2019None && v.Problem != "" && n.entries[v.Field].GetMapped() {
		n.entries[v.Field].GrabFocus()
	}
	general := ""
	if v.Field == viewmodel.Net2019None {
		general = v.Problem
	}
	n.problem.SetText(general)
	n.problem.SetVisible(general != "")
	state := v.State
	if v.Busy != "" {
		state = v.Busy
	}
	n.on.description.SetText(state)
	widget.SetClass(n.on.description, "dim", !v.Trouble)
	widget.SetClass(n.on.description, "danger", v.Trouble)
	gtkx.SetDescription(n.onSwitch, state)
	t := n.window.Texts()
	n.submit.SetLabel(map[bool]string{true: t.T("Log in anew"), false: t.T("Log in")}[v.On])
	n.submit.SetSensitive(v.Busy == "")
	if v.Busy != "" {
		n.spinner.Start()
	} else {
		n.spinner.Stop()
	}
	n.look()
}

// look shows the rows that make sense now.
func (n *net2019Page) look() {
	v := n.model.View.Get()
	shown := n.wanted || v.On
	// Not while it is under way: a switch must not be set while it tells that it was.
	if v.Busy == "" && n.onSwitch.GetActive() != shown {
		n.setting = true
		n.onSwitch.SetActive(shown)
		n.setting = false
	}
	n.form.SetVisible(shown)
	f := n.model.Form
	n.elsewhere.SetVisible(f.Elsewhere)
	n.portRow.SetVisible(!f.Elsewhere || !f.Course)
}
