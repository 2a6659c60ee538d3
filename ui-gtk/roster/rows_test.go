package roster

import (
	"image"
	"slices"
	"strconv"
	"testing"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

type numberRow struct{ key, look int }

func (r numberRow) RowKey() string        { return strconv.Itoa(r.key) }
func (r numberRow) Same(o numberRow) bool { return r == o }

type numberWidget struct {
	*gtk.ListBoxRow
	shows numberRow
	gone  bool
}

func newNumberWidget(r numberRow) *numberWidget {
	w := &numberWidget{ListBoxRow: widget.Must(gtk.ListBoxRowNew()), shows: r}
	w.Connect("destroy", func() { w.gone = true })
	return w
}

func (w *numberWidget) Update(r numberRow) { w.shows = r }

// children are the widgets that are in a container, in their order.
func children(c interface{ GetChildren() *glib.List }) (all []uintptr) {
	c.GetChildren().Foreach(func(x any) { all = append(all, x.(*gtk.Widget).Native()) })
	return all
}

// TestRowsKeepTheirWidgets: however a list changes, a row that stays has the widget that
// it had, the widgets are in the order of the rows, and those of others are no more.
func TestRowsKeepTheirWidgets(t *testing.T) {
	if missing != nil {
		t.Skip(missing)
	}
	lists := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) numberRow {
		return numberRow{rapid.IntRange(0, 12).Draw(t, "key"), rapid.IntRange(0, 1).Draw(t, "look")}
	}), 0, 10, numberRow.RowKey)
	check := func(t *rapid.T, r *widget.Rows[numberRow, *numberWidget], children func() []uintptr) {
		var now []numberRow
		for range 4 {
			next := lists.Draw(t, "rows")
			before := slices.Clone(r.All())
			do(func() bool { r.Follow(viewmodel.Diff(now, next)); return true })
			now = next
			var natives []uintptr
			var shown []numberRow
			for _, w := range r.All() {
				natives, shown = append(natives, w.Native()), append(shown, w.shows)
			}
			if !slices.Equal(shown, now) {
				t.Fatalf("the widgets show %v, the rows are %v", shown, now)
			}
			if seen := do(children); !slices.Equal(seen, natives) {
				t.Fatalf("the widgets are drawn in the order %v, not %v", seen, natives)
			}
			for _, w := range before {
				stays := slices.ContainsFunc(now, func(r numberRow) bool { return r.key == w.shows.key })
				if kept := slices.Contains(r.All(), w); kept != stays || w.gone == stays {
					t.Fatalf("row %d is there: %v; its widget is: %v, and was destroyed: %v", w.shows.key, stays, kept, w.gone)
				}
			}
		}
	}
	t.Run("box", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			box := do(func() *gtk.Box {
				b := widget.Column(0)
				b.PackEnd(widget.Label("below"), false, false, 0)
				return b
			})
			below := do(func() []uintptr { return children(box) })
			check(t, do(func() *widget.Rows[numberRow, *numberWidget] { return widget.BoxRows(box, newNumberWidget) }), func() []uintptr {
				return slices.DeleteFunc(children(box), func(x uintptr) bool { return x == below[0] })
			})
		})
	})
	t.Run("list", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			list := do(func() *gtk.ListBox { return widget.Must(gtk.ListBoxNew()) })
			check(t, do(func() *widget.Rows[numberRow, *numberWidget] { return widget.ListRows(list, newNumberWidget) }), func() []uintptr { return children(list) })
		})
	})
}

func asking(user, name string) *controlpb.Contact {
	return &controlpb.Contact{User: user, Name: name, State: controlpb.ContactState_CONTACT_STATE_INCOMING, Greeting: "Hello, it is " + name}
}

// tell has the core tell of contacts.
func (f *fakeCore) tell(contacts ...*controlpb.Contact) {
	for _, c := range contacts {
		f.events <- &controlpb.Event{Event: &controlpb.Event_Contact{Contact: c}}
	}
}

// set changes what a group is, and tells so.
func (f *fakeCore) set(g viewmodel.Group) {
	f.mu.Lock()
	f.groups[g.Chat] = &g
	f.mu.Unlock()
	f.events <- &controlpb.Event{Event: &controlpb.Event_PluginEvent{PluginEvent: &controlpb.PluginEvent{Plugin: "group", Name: "group.changed", Chat: g.Chat}}}
}

// TestCardsKeepTheKeyboard: the keyboard stays on the button of a card, whatever changes
// of the card, and whoever else asks or does no longer.
func TestCardsKeepTheKeyboard(t *testing.T) {
	core := crowd(1)
	core.contacts = append(core.contacts, asking("carol", "Carol"), asking("eve", "Eve"))
	_, s := open(t, core)
	cards := s.chats.requests.incoming.rows
	until(t, "the cards are there", func() bool { return cards.Len() == 2 })
	eve := do(func() *incomingCard { return cards.All()[1] })
	do(func() bool { eve.decline.GrabFocus(); return true })
	look := func(what string, done func() bool) {
		t.Helper()
		until(t, what, done)
		if !do(func() bool { return slices.Contains(cards.All(), eve) && eve.decline.IsFocus() }) {
			t.Fatalf("%s, and the keyboard is not on the button any more", what)
		}
	}
	core.tell(asking("bob", "Bob"))
	look("another one asks", func() bool { return cards.Len() == 3 })
	core.tell(asking("eve", "Eva"))
	look("the card shows another name", func() bool {
		last := cards.All()[2]
		return widget.Must(last.person.name.GetText()) == "Eva" && widget.Must(last.greeting.GetText()) == "Hello, it is Eva"
	})
	core.tell(asking("eve", "Anna"))
	look("the card is first", func() bool {
		first := cards.All()[0]
		return widget.Must(first.person.name.GetText()) == "Anna" && first.GetAllocation().GetY() < cards.All()[1].GetAllocation().GetY()
	})
	core.events <- &controlpb.Event{Event: &controlpb.Event_ContactRemoved{ContactRemoved: "carol"}}
	look("another one asks no longer", func() bool { return cards.Len() == 2 })
}

// TestHeldButtonIsClicked: what changes of a card while a button of the mouse is held on
// it does not swallow the click.
func TestHeldButtonIsClicked(t *testing.T) {
	core := crowd(1)
	core.contacts = append(core.contacts, asking("eve", "Eve"))
	w, s := open(t, core)
	cards := s.chats.requests.incoming.rows
	until(t, "the card is there", func() bool { return cards.Len() == 1 && cards.All()[0].accept.GetAllocatedWidth() > 1 })
	at := do(func() image.Point {
		b := cards.All()[0].accept
		x, y, _ := b.TranslateCoordinates(w.native, b.GetAllocatedWidth()/2, b.GetAllocatedHeight()/2)
		left, top := w.native.GetPosition()
		return image.Pt(left+x, top+y)
	})
	pressed := make(chan struct{})
	do(func() bool {
		cards.All()[0].accept.Connect("pressed", func() { close(pressed) })
		return true
	})
	for _, err := range []error{screen.MoveMouse(at), screen.PressButton(desktop.Left)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	<-pressed
	core.tell(asking("eve", "Eva"))
	until(t, "the card shows another name", func() bool { return widget.Must(cards.All()[0].person.name.GetText()) == "Eva" })
	if err := screen.ReleaseButton(desktop.Left); err != nil {
		t.Fatal(err)
	}
	until(t, "the request is accepted", func() bool {
		core.mu.Lock()
		defer core.mu.Unlock()
		return slices.Equal(core.answered, []string{"eve"})
	})
}

// groupCore is a core with a group of alice, person 0 and person 1, as role.
func groupCore(role viewmodel.Role) (*fakeCore, viewmodel.Group) {
	core := crowd(2)
	g := viewmodel.Group{Chat: "g", Title: "Hiking", Role: role, By: person(0), People: []viewmodel.GroupPerson{
		{User: "alice", Role: role}, {User: person(0), Role: viewmodel.RoleMember}, {User: person(1), Role: viewmodel.RoleMember},
	}}
	core.groups = map[string]*viewmodel.Group{"g": &g}
	core.chats = append(core.chats, &controlpb.Chat{Id: "g", Kind: "group", Members: []string{"alice", person(0), person(1)}})
	return core, g
}

// TestInvitationKeepsTheKeyboard: likewise.
func TestInvitationKeepsTheKeyboard(t *testing.T) {
	core, g := groupCore(viewmodel.RoleInvited)
	_, s := open(t, core)
	cards := s.chats.requests.invitations.rows
	until(t, "the card is there", func() bool { return cards.Len() == 1 })
	card := do(func() *invitationCard { return cards.All()[0] })
	do(func() bool { card.join.GrabFocus(); return true })
	g.Title = "Walking"
	core.set(g)
	until(t, "the card shows another title", func() bool { return widget.Must(cards.All()[0].title.GetText()) == "Walking" })
	if !do(func() bool { return cards.All()[0] == card && card.join.IsFocus() }) {
		t.Error("the keyboard is not on the button any more")
	}
}

// TestMembersKeepTheKeyboard: the keyboard and an open menu stay with a member on the
// page of the group, who comes and goes, is called otherwise and becomes an admin.
func TestMembersKeepTheKeyboard(t *testing.T) {
	core, g := groupCore(viewmodel.RoleOwner)
	w, _ := open(t, core)
	p := do(func() *groupPage { return newGroupPage(w, "g") })
	until(t, "the members are there", func() bool { return p.members.Len() == 3 })
	member := do(func() *memberRow { return p.members.All()[2] })
	do(func() bool { member.more.GrabFocus(); return true })
	look := func(what string, done func() bool) {
		t.Helper()
		until(t, what, done)
		if !do(func() bool { return slices.Contains(p.members.All(), member) && member.more.IsFocus() }) {
			t.Fatalf("%s, and the keyboard is not on the button any more", what)
		}
	}
	core.tell(&controlpb.Contact{User: person(1), Name: "Bob", Online: true, State: controlpb.ContactState_CONTACT_STATE_CONTACT})
	look("the name is another", func() bool {
		last := p.members.All()[2]
		return last.shown.Presence == viewmodel.Online && widget.Must(last.name.GetText()) == "Bob"
	})
	do(func() bool { member.more.SetActive(true); return true })
	until(t, "the menu is open", member.more.GetPopover().GetVisible)
	g.People = []viewmodel.GroupPerson{g.People[0], {User: person(1), Role: viewmodel.RoleAdmin}, g.People[1]}
	core.set(g)
	until(t, "the member stands higher", func() bool {
		second := p.members.All()[1]
		return widget.Must(second.badge.GetText()) == "Admin" && second.GetAllocation().GetY() < p.members.All()[2].GetAllocation().GetY()
	})
	if !do(func() bool { return p.members.All()[1] == member && member.more.GetPopover().GetVisible() }) {
		t.Error("the menu was closed")
	}
}

// TestChoicesKeepTheKeyboard: the keyboard stays on somebody who may be chosen, whose
// name becomes another.
func TestChoicesKeepTheKeyboard(t *testing.T) {
	core := crowd(3)
	w, _ := open(t, core)
	model := do(func() *viewmodel.NewGroup { return w.session.NewGroup() })
	people := do(func() *peoplePicker {
		p := newPeoplePicker(w, model.People, w.Own)
		native := widget.Must(gtk.WindowNew(gtk.WINDOW_TOPLEVEL))
		native.Add(p.box)
		native.ShowAll()
		w.Own(native.Destroy)
		return p
	})
	choice := do(func() *personChoice { return people.rows.All()[1] })
	do(func() bool { choice.GrabFocus(); return true })
	core.tell(&controlpb.Contact{User: person(1), Name: "Anna", State: controlpb.ContactState_CONTACT_STATE_CONTACT})
	until(t, "the person is first", func() bool {
		first := people.rows.All()[0]
		return widget.Must(first.name.GetText()) == "Anna" && first.id.GetVisible()
	})
	if !do(func() bool { return people.rows.All()[0] == choice }) {
		t.Fatal("the row was made anew")
	}
	do(func() bool { choice.Clicked(); return true })
	if got := do(model.People.Chosen.Get); !do(choice.IsFocus) || !slices.Equal(got, []string{person(1)}) {
		t.Errorf("chosen are %q; the keyboard is there: %v", got, do(choice.IsFocus))
	}
}

// TestFoundKeepTheKeyboard: the keyboard stays on somebody who was found.
func TestFoundKeepTheKeyboard(t *testing.T) {
	core := crowd(3)
	w, s := open(t, core)
	do(func() bool {
		w.session.Search.Open(viewmodel.SearchPeople)
		w.session.Search.SetQuery("person")
		return true
	})
	until(t, "all are found", func() bool { return w.session.Search.People.Len() == 3 })
	do(func() bool { return focusRow(s.found.people, 1) })
	user := do(func() string { return w.session.Search.People.At(1).Contact.GetUser() })
	core.tell(&controlpb.Contact{User: user, Name: "Personage", State: controlpb.ContactState_CONTACT_STATE_CONTACT})
	at := 0
	until(t, "the name is another", func() bool {
		at = slices.IndexFunc(w.session.Search.People.Rows(), func(r viewmodel.FoundRow) bool { return r.Title == "Personage" })
		return at >= 0
	})
	if row := do(func() *gtk.ListBoxRow { return s.found.people.GetRowAtIndex(at) }); !do(row.IsFocus) {
		t.Error("the keyboard is not on the row any more")
	}
}
