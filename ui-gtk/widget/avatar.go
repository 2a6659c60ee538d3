package widget

import (
	"fmt"
	"image"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// Sizes of avatars, in GTK's pixels.
const (
	AvatarTiny   = 24
	AvatarSmall  = 32
	AvatarMedium = 44
	AvatarLarge  = 96
)

// Avatar is the picture of a person or chat, or the first letter of the name on a
// colour that the id has, with a dot that says whether the person is there. It only
// repeats what a text beside it says, and so has no name of its own.
type Avatar struct {
	*gtk.Overlay
	session *viewmodel.Session
	size    int
	initial *gtk.Label
	picture *gtkx.Picture
	dot     *gtk.Box
	colour  string // its class
	shown   int    // counts what was shown: a picture that comes late is of something else
	gone    bool
}

// NewAvatar makes an avatar of a size, which shows nobody yet.
func NewAvatar(w Window, size int) *Avatar {
	a := &Avatar{Overlay: Must(gtk.OverlayNew()), session: w.Session(), size: size}
	a.initial = Class(Must(gtk.LabelNew("")), "avatar", fmt.Sprintf("avatar-size-%d", size))
	a.initial.SetSizeRequest(size, size)
	a.initial.SetMaxWidthChars(1)
	a.picture = Must(gtkx.NewPicture(""))
	a.picture.SetStyle(gtkx.Cover, float64(size)/2)
	a.picture.SetNoShowAll(true)
	a.dot = Class(Column(0), "presence")
	a.dot.SetHAlign(gtk.ALIGN_END)
	a.dot.SetVAlign(gtk.ALIGN_END)
	a.dot.SetNoShowAll(true)
	a.Add(a.initial)
	a.AddOverlay(a.picture)
	a.AddOverlay(a.dot)
	a.SetHAlign(gtk.ALIGN_CENTER)
	a.SetVAlign(gtk.ALIGN_CENTER)
	a.initial.Show()
	a.Connect("destroy", func() { a.gone = true })
	return a
}

// Show shows a person or a chat: by the picture, when there is one that can be
// decoded.
func (a *Avatar) Show(id, name string, picture []byte, presence viewmodel.Presence) {
	a.shown++
	shown := a.shown
	initial, colour := viewmodel.AvatarLook(id, name)
	a.initial.SetText(initial)
	if class := fmt.Sprintf("avatar-%d", colour); class != a.colour {
		SetClass(a.initial, a.colour, false)
		SetClass(a.initial, class, true)
		a.colour = class
	}
	a.dot.SetVisible(presence != viewmodel.PresenceNone)
	SetClass(a.dot, "online", presence == viewmodel.Online)
	if len(picture) == 0 {
		a.picture.SetVisible(false)
		return
	}
	// What was shown before stays until the new picture is decoded.
	a.session.Avatars.Show(picture, a.size*a.GetScaleFactor(), func(img *image.RGBA) {
		if a.gone || shown != a.shown {
			return
		}
		pixels, err := gtkx.NewPixels(img)
		if err != nil {
			return // the initial is there
		}
		a.picture.Show(pixels)
		pixels.Close()
		a.picture.SetVisible(true)
	})
}

// ShowPerson shows a contact, or oneself.
func (a *Avatar) ShowPerson(user string) {
	s := a.session
	if user == s.User() {
		a.Show(user, s.Contacts.Name(user), s.Status.Get().GetAvatar(), viewmodel.PresenceNone)
		return
	}
	a.Show(user, s.Contacts.Name(user), s.Contacts.Get(user).GetAvatar(), viewmodel.PresenceNone)
}
