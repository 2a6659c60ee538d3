// Package welcome is what the window shows while no account is open: the first run,
// log-in, and an account that is locked.
package welcome

import (
	"strings"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// Names of the pages within.
const (
	pageLogin  = "login"
	pageLocked = "locked"
)

// Page is shown in place of chats.
type Page struct {
	window widget.Window
	login  *viewmodel.Login
	stack  *gtk.Stack
	form   *form
	locked *locked
}

// New makes the page, which follows the session's status.
func New(w widget.Window) *Page {
	p := &Page{window: w, login: w.Session().Login}
	p.stack = widget.Must(gtk.StackNew())
	p.stack.SetHHomogeneous(false)
	p.stack.SetVHomogeneous(false)
	p.form = newForm(w)
	p.locked = newLocked(w)
	p.stack.AddNamed(p.form.page, pageLogin)
	p.stack.AddNamed(p.locked.page, pageLocked)
	w.Own(w.Session().Status.Observe(func(st *controlpb.Status) {
		if w.Session().Stage() == viewmodel.Locked {
			p.locked.status(st)
			p.stack.SetVisibleChildName(pageLocked)
			return
		}
		p.stack.SetVisibleChildName(pageLogin)
	}))
	w.Own(p.login.View.Observe(func(v viewmodel.LoginView) {
		p.form.show(v)
		p.locked.show(v)
	}))
	return p
}

// Widget is what is put into the window.
func (p *Page) Widget() gtk.IWidget { return p.stack }

// field is a name, an entry, and what is wrong with what was written.
type field struct {
	box     *gtk.Box
	entry   *gtk.Entry
	problem *gtk.Label
}

// newField makes a field; set is given what is written.
func newField(name, placeholder, value string, set func(string)) *field {
	f := &field{entry: widget.Must(gtk.EntryNew()), problem: widget.Label("", "danger", "small")}
	title := widget.Label(name, "title", "small")
	f.entry.SetText(value)
	f.entry.SetPlaceholderText(placeholder)
	f.entry.SetActivatesDefault(false)
	f.entry.Connect("changed", func() {
		text, _ := f.entry.GetText()
		set(text)
		f.say("")
	})
	gtkx.SetName(f.entry, name)
	gtkx.SetRole(f.problem, gtkx.RoleAlert)
	f.problem.SetNoShowAll(true)
	f.problem.SetMaxWidthChars(40)
	f.box = widget.Column(4, title, f.entry, f.problem)
	return f
}

// secret hides what is written, unless it is asked for.
func (f *field) secret(show string) *field {
	f.entry.SetVisibility(false)
	f.entry.SetInputPurpose(gtk.INPUT_PURPOSE_PASSWORD)
	f.entry.SetIconFromIconName(gtk.ENTRY_ICON_SECONDARY, "view-reveal-symbolic")
	f.entry.SetIconTooltipText(gtk.ENTRY_ICON_SECONDARY, show)
	f.entry.Connect("icon-press", func() {
		hidden := !f.entry.GetVisibility()
		f.entry.SetVisibility(hidden)
		icon := "view-reveal-symbolic"
		if hidden {
			icon = "view-conceal-symbolic"
		}
		f.entry.SetIconFromIconName(gtk.ENTRY_ICON_SECONDARY, icon)
	})
	return f
}

// optional leaves it to others whether the field is there.
func (f *field) optional() {
	f.box.ShowAll()
	f.box.SetNoShowAll(true)
	f.box.Hide()
}

// fill writes what came from elsewhere than the person.
func (f *field) fill(value string) {
	if text, _ := f.entry.GetText(); text != value {
		f.entry.SetText(value)
	}
}

// say says what is wrong, or nothing.
func (f *field) say(problem string) {
	f.problem.SetText(problem)
	f.problem.SetVisible(problem != "")
	widget.SetClass(f.entry, "error", problem != "")
	gtkx.SetDescription(f.entry, problem)
}

// form is the first run and the log-in.
type form struct {
	window widget.Window
	login  *viewmodel.Login
	page   *gtk.ScrolledWindow

	directory, user, name, password, invite, passphrase, fingerprint *field

	create, enter  *gtk.RadioButton
	host           *gtk.Button
	hosted         *gtk.Box
	hostedText     *gtk.Label
	haveInvite     *gtk.Button
	general        *gtk.Label
	submit, cancel *gtk.Button
	replace        *gtk.Button
	busy           *gtk.Box
	spinner        *gtk.Spinner
	busyText       *gtk.Label
	inputs         *gtk.Box
}

func newForm(w widget.Window) *form {
	f := &form{window: w, login: w.Session().Login}
	f.makeFields()
	f.makeChoice()
	f.makeActions()
	t := w.Texts()
	title := widget.Label(t.T("Welcome to Parley"), "huge")
	title.SetXAlign(0.5)
	under := widget.Label(t.T("Talk to people directly, end-to-end encrypted."), "dim")
	under.SetXAlign(0.5)
	under.SetJustify(gtk.JUSTIFY_CENTER)
	icon := widget.Icon("chat.parley.Parley", gtk.ICON_SIZE_DIALOG)
	icon.SetPixelSize(80)
	f.inputs = widget.Column(14, f.choice(), widget.Column(2, f.directory.box, f.host, f.hosted), f.fingerprint.box, f.user.box, f.name.box,
		f.password.box, f.passphrase.box, f.invite.box, f.haveInvite)
	column := widget.Column(14, icon, widget.Column(4, title, under), f.inputs, f.general, f.submit, f.replace, f.busy)
	f.page = widget.Centered(column)
	widget.Class(column, "welcome")
	f.page.Connect("map", f.focus)
	return f
}

// focus gives the keyboard to the first field that is empty.
func (f *form) focus() {
	for _, x := range []*field{f.directory, f.user, f.password} {
		if text, _ := x.entry.GetText(); text == "" {
			x.entry.GrabFocus()
			return
		}
	}
}

func (f *form) makeFields() {
	t, form := f.window.Texts(), &f.login.Form
	f.directory = newField(t.T("Directory"), "directory.example.org", form.Directory, func(s string) { form.Directory = s })
	f.user = newField(t.T("User name"), t.T("Small letters, digits, “.” and “_”"), form.User, func(s string) { form.User = s })
	f.name = newField(t.T("Name that others see"), t.T("May be left empty"), form.Name, func(s string) { form.Name = s })
	f.password = newField(t.T("Password"), "", form.Password, func(s string) { form.Password = s }).secret(t.T("Show the password"))
	f.invite = newField(t.T("Invite code"), "", form.Invite, func(s string) { form.Invite = s })
	f.passphrase = newField(t.T("Passphrase of what is stored here"), "", form.Passphrase, func(s string) { form.Passphrase = s }).secret(t.T("Show the passphrase"))
	f.fingerprint = newField(t.T("Fingerprint of the directory"), t.T("64 characters, from who runs it"), form.Fingerprint, func(s string) { form.Fingerprint = s })
	order := []*field{f.directory, f.fingerprint, f.user, f.name, f.password, f.passphrase, f.invite}
	for _, x := range order {
		x.entry.Connect("activate", func() { f.login.Submit() })
	}
	for _, x := range []*field{f.name, f.invite, f.passphrase, f.fingerprint} {
		x.optional()
	}
}

func (f *form) makeChoice() {
	t := f.window.Texts()
	f.create = widget.Must(gtk.RadioButtonNewWithLabel(nil, t.T("New account")))
	f.enter = widget.Must(gtk.RadioButtonNewWithLabelFromWidget(f.create, t.T("Log in")))
	for _, b := range []*gtk.RadioButton{f.create, f.enter} {
		b.SetMode(false) // it looks like a button
		b.SetHExpand(true)
	}
	f.create.SetActive(f.login.Form.Register)
	f.enter.SetActive(!f.login.Form.Register)
	f.create.Connect("toggled", func() {
		f.login.Form.Register = f.create.GetActive()
		f.show(f.login.View.Get())
	})
}

// choice is the two of them side by side.
func (f *form) choice() gtk.IWidget {
	row := widget.Class(widget.Row(0), "choice")
	row.SetHomogeneous(true)
	row.PackStart(f.create, true, true, 0)
	row.PackStart(f.enter, true, true, 0)
	return row
}

func (f *form) makeActions() {
	t := f.window.Texts()
	f.host = widget.Button(t.T("None yet? Start a directory on this computer"), f.login.HostHere, "flat", "link-button", "small")
	f.host.SetHAlign(gtk.ALIGN_START)
	f.host.SetNoShowAll(true)
	f.hostedText = widget.Label("", "small")
	f.hostedText.SetSelectable(true)
	f.hostedText.SetMaxWidthChars(40)
	f.hosted = widget.Class(widget.Row(8, widget.Icon("emblem-ok-symbolic", gtk.ICON_SIZE_MENU, "ok")), "note")
	f.hosted.PackStart(f.hostedText, true, true, 0)
	f.hosted.ShowAll()
	f.hosted.SetNoShowAll(true)
	f.haveInvite = widget.Button(t.T("I have an invite code"), func() {
		f.haveInvite.Hide()
		f.invite.box.Show()
		f.invite.entry.GrabFocus()
	}, "flat", "link-button", "small")
	f.haveInvite.SetHAlign(gtk.ALIGN_START)
	f.haveInvite.SetNoShowAll(true)
	f.general = widget.Label("", "danger")
	f.general.SetNoShowAll(true)
	f.general.SetMaxWidthChars(40)
	gtkx.SetRole(f.general, gtkx.RoleAlert)
	f.submit = widget.Button("", f.login.Submit, "suggested-action", "tall")
	f.replace = widget.Button(t.T("Log the other device out"), f.login.Replace, "destructive-action", "tall")
	f.replace.SetNoShowAll(true)
	f.spinner = widget.Must(gtk.SpinnerNew())
	f.busyText = widget.Line("", "dim")
	f.cancel = widget.Button(t.T("Cancel"), f.login.Cancel)
	f.busy = widget.Row(10, f.spinner, f.busyText)
	f.busy.PackEnd(f.cancel, false, false, 0)
	f.busy.ShowAll()
	f.busy.SetNoShowAll(true)
}

// show shows what is seen beside what is written.
func (f *form) show(v viewmodel.LoginView) {
	t, login := f.window.Texts(), f.login
	register := login.Form.Register
	for _, x := range []struct {
		field *field
		is    viewmodel.LoginField
		value string
		seen  bool
	}{
		{f.directory, viewmodel.FieldDirectory, login.Form.Directory, true},
		{f.user, viewmodel.FieldUser, login.Form.User, true},
		{f.password, viewmodel.FieldPassword, login.Form.Password, true},
		{f.name, viewmodel.FieldName, login.Form.Name, register},
		{f.invite, viewmodel.FieldInvite, login.Form.Invite, register && (v.AskInvite || login.Form.Invite != "" && v.Hosted == nil || f.invite.box.GetVisible())},
		{f.passphrase, viewmodel.FieldPassphrase, login.Form.Passphrase, v.AskPassphrase},
		{f.fingerprint, viewmodel.FieldFingerprint, login.Form.Fingerprint, v.AskFingerprint},
	} {
		x.field.fill(x.value)
		problem := ""
		if v.Field == x.is {
			problem = v.Problem
		}
		x.field.say(problem)
		x.field.box.SetVisible(x.seen)
		if problem != "" && x.field.entry.GetMapped() {
			x.field.entry.GrabFocus()
		}
	}
	f.create.SetActive(register)
	f.haveInvite.SetVisible(register && !f.invite.box.GetVisible() && v.Hosted == nil)
	f.host.SetVisible(login.CanHost() && v.Hosted == nil && register)
	f.hosted.SetVisible(v.Hosted != nil)
	if h := v.Hosted; h != nil {
		text := t.T("A directory runs on this computer now.")
		if len(h.Others) > 0 {
			text = t.F("A directory runs on this computer now. Others in your network use the address %[1]s and the invite code %[2]s.", h.Others[0], h.Invite)
		}
		f.hostedText.SetText(client.PrintableLine(text))
	}
	general := ""
	if v.Field == viewmodel.FieldNone {
		general = v.Problem
	}
	f.general.SetText(general)
	f.general.SetVisible(general != "")
	label := t.T("Log in")
	if register {
		label = t.T("Create account")
	}
	f.submit.SetLabel(label)
	busy := v.Busy != ""
	f.submit.SetVisible(!busy && !v.OtherDevice)
	f.replace.SetVisible(!busy && v.OtherDevice)
	f.inputs.SetSensitive(!busy)
	f.busy.SetVisible(busy)
	f.busyText.SetText(v.Busy)
	spin(f.spinner, busy)
}

func spin(s *gtk.Spinner, on bool) {
	if on {
		s.Start()
	} else {
		s.Stop()
	}
}

// locked is the page of an account that cannot be opened.
type locked struct {
	login      *viewmodel.Login
	page       *gtk.ScrolledWindow
	why        *gtk.Label
	title      *gtk.Label
	passphrase *field
	general    *gtk.Label
	open       *gtk.Button
	spinner    *gtk.Spinner
	window     widget.Window
}

func newLocked(w widget.Window) *locked {
	t := w.Texts()
	l := &locked{login: w.Session().Login, window: w}
	icon := widget.Icon("changes-prevent-symbolic", gtk.ICON_SIZE_DIALOG, "dim")
	icon.SetPixelSize(64)
	l.title = widget.Label("", "huge")
	l.title.SetXAlign(0.5)
	l.why = widget.Label("", "dim")
	l.why.SetMaxWidthChars(44)
	l.why.SetSelectable(true)
	l.passphrase = newField(t.T("Passphrase"), "", l.login.Form.Passphrase, func(s string) { l.login.Form.Passphrase = s }).secret(t.T("Show the passphrase"))
	l.passphrase.entry.Connect("activate", l.login.Unlock)
	l.general = widget.Label("", "danger")
	l.general.SetNoShowAll(true)
	l.general.SetMaxWidthChars(44)
	gtkx.SetRole(l.general, gtkx.RoleAlert)
	l.open = widget.Button(t.T("Try again"), l.login.Unlock, "suggested-action", "tall")
	l.spinner = widget.Must(gtk.SpinnerNew())
	out := widget.Button(t.T("Use another account"), func() { w.Session().LogOut() }, "flat")
	l.page = widget.Centered(widget.Class(widget.Column(14, icon, l.title, l.why, l.passphrase.box, l.general, l.open, out, l.spinner), "welcome"))
	l.passphrase.optional()
	return l
}

// status says what the core says of it.
func (l *locked) status(st *controlpb.Status) {
	t := l.window.Texts()
	l.title.SetText(t.F("%s is locked", client.PrintableLine(st.GetUser())))
	if st.GetUser() == "" {
		l.title.SetText(t.T("The account is locked"))
	}
	if !l.passphrase.box.GetVisible() {
		l.why.SetText(strings.TrimSpace(client.Printable(st.GetStateText())))
	}
}

func (l *locked) show(v viewmodel.LoginView) {
	t := l.window.Texts()
	problem, general := "", v.Problem
	if v.Field == viewmodel.FieldPassphrase {
		problem, general = v.Problem, ""
	}
	l.passphrase.fill(l.login.Form.Passphrase)
	l.passphrase.say(problem)
	asked := l.passphrase.box.GetVisible()
	l.passphrase.box.SetVisible(v.AskPassphrase)
	if v.AskPassphrase {
		l.open.SetLabel(t.T("Unlock"))
		l.why.SetText(t.T("What is stored here is protected by your passphrase."))
		if !asked || problem != "" {
			l.passphrase.entry.GrabFocus()
		}
	}
	l.general.SetText(general)
	l.general.SetVisible(general != "")
	l.open.SetSensitive(v.Busy == "")
	spin(l.spinner, v.Busy != "")
}
