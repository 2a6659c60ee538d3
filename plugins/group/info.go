package group

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // what a picture may be made from
	"image/jpeg"
	_ "image/png" // what a picture may be made from
	"io"
	"io/fs"
	"os"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // what a picture may be made from
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/group/grouppb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// Info is the result, as JSON, of the action info.
type Info struct {
	Chat        packet.ChatID `json:"chat"`
	Title       string        `json:"title"`
	Description string        `json:"description"`
	History     string        `json:"history"` // "from-join", "all"
	// Picture names the present one, for get-picture and to see that it changed;
	// empty for none.
	Picture string `json:"picture"`
	Role    string `json:"role"` // this account's, "" when it is in the group no more
	// Declined: this account was asked, never came, and is asked no more.
	Declined bool `json:"declined,omitempty"`
	// Withdrawn: it is asked no more because the invitation was taken back.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Removed: it was in the group, and others took it out.
	Removed bool `json:"removed,omitempty"`
	// By invited this account.
	By packet.UserID `json:"by"`
	// People are those in the group and those invited, who stand highest first.
	People []InfoPerson `json:"people"`
	// Changes is how many were made to the group. Waiting ones need others that are
	// not here yet; Split: some were made apart and are not joined yet.
	Changes int  `json:"changes"`
	Waiting int  `json:"waiting"`
	Split   bool `json:"split"`
}

// InfoPerson is one of a group's people.
type InfoPerson struct {
	User packet.UserID `json:"user"`
	Role string        `json:"role"`
	By   packet.UserID `json:"by"`
}

func (p *Plugin) info(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	c := p.chat(call.Chat)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := p.load(ctx, c); err != nil {
		return sdk.Result{}, err
	}
	s := c.graph.Known().State
	if err := p.known(c, s); err != nil && c.graph.Len() == 0 {
		return sdk.Result{}, err
	}
	info := Info{
		Chat: c.id, Title: s.Title, Description: s.Description, History: s.History.String(), Role: s.Person(p.self).Role.String(), By: s.Person(p.self).By,
		Changes: c.graph.Len(), Waiting: len(c.waiting), Split: c.graph.Split(), People: []InfoPerson{},
	}
	absence := c.graph.Absence(p.self)
	info.Declined, info.Withdrawn, info.Removed = absence.Declined, absence.Withdrawn, absence.Removed
	if s.Picture != (ChangeID{}) {
		info.Picture = s.Picture.String()
	}
	for _, person := range s.People() {
		info.People = append(info.People, InfoPerson{User: person.User, Role: person.Role.String(), By: person.By})
	}
	return sdk.Result{Value: mustJSON(info)}, nil
}

// list gives all groups: a JSON array of Summary.
func (p *Plugin) list(ctx context.Context, _ *sdk.Invocation) (sdk.Result, error) {
	list, err := p.summaries(ctx)
	if err != nil {
		return sdk.Result{}, err
	}
	value, err := json.Marshal(list)
	if err == nil && len(value) > 64<<10 {
		return sdk.Result{}, sdk.Errorf(codes.ResourceExhausted, "there are too many groups (%d) to list at once", len(list))
	}
	return sdk.Result{Value: value}, err
}

// getPicture gives the present picture's bytes; none when there is none.
func (p *Plugin) getPicture(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	c := p.chat(call.Chat)
	c.mu.Lock()
	err := p.load(ctx, c)
	id := c.graph.Known().State.Picture
	c.mu.Unlock()
	if err != nil || id == (ChangeID{}) {
		return sdk.Result{}, err
	}
	values, err := p.core.Values(ctx, changeKey(call.Chat, id), 1)
	if err != nil || len(values) == 0 {
		return sdk.Result{}, err
	}
	k := &grouppb.Known{}
	if err := proto.Unmarshal(values[0].Value, k); err != nil {
		return sdk.Result{}, fmt.Errorf("kept change %s: %w", id, err)
	}
	change, err := DecodeChange(k.GetContent())
	if err != nil {
		return sdk.Result{}, fmt.Errorf("kept change %s: %w", id, err)
	}
	var picture []byte
	for i := range change.Operations {
		if o := &change.Operations[i]; o.Verb == VerbSetPicture {
			picture = o.Picture
		}
	}
	return sdk.Result{Value: picture}, nil
}

// picture sets the group's picture: a file (paths), or bytes in base64 (args
// "picture"); neither removes it. What is too large is made smaller.
func (p *Plugin) picture(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	var data []byte
	var err error
	switch {
	case len(call.Paths) > 0:
		data, err = readFile(call.Paths[0])
	case call.Args["picture"] != "":
		data, err = base64.StdEncoding.DecodeString(call.Args["picture"])
	}
	if err == nil && len(data) > 0 {
		data, err = shrink(data)
	}
	if err != nil {
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "the picture cannot be used: %w", err).Because("PICTURE")
	}
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if err := p.leads(s, "change the picture"); err != nil || len(data) == 0 && s.Picture == (ChangeID{}) {
			return nil, err
		}
		return []Operation{{Verb: VerbSetPicture, Picture: data}}, nil
	})
}

const (
	maxPictureFile = 32 << 20
	maxPixels      = 64 << 20
	pictureSide    = 384 // pixels, of what is made smaller
)

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the person chose it
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist: choose another file", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s may not be read: choose another file", path)
	case err != nil:
		return nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no file", path))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPictureFile+1))
	if err == nil && len(data) > maxPictureFile {
		err = fmt.Errorf("%s is larger than 32 MiB", path)
	}
	return data, err
}

// shrink gives a picture of at most MaxPicture bytes: as it is, or as a JPEG.
func shrink(data []byte) ([]byte, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("it is no PNG, JPEG, GIF or WebP")
	}
	if config.Width <= 0 || config.Height <= 0 || config.Width > maxPixels/config.Height {
		return nil, fmt.Errorf("it has %d x %d pixels, which is too many", config.Width, config.Height)
	}
	if len(data) <= MaxPicture && format != "gif" && config.Width <= 2*pictureSide && config.Height <= 2*pictureSide {
		return data, nil
	}
	from, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("it is damaged")
	}
	for side := pictureSide; side >= 48; side /= 2 {
		w, h := side, side
		if config.Width > config.Height {
			h = max(1, side*config.Height/config.Width)
		} else {
			w = max(1, side*config.Width/config.Height)
		}
		to := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(to, to.Bounds(), image.White, image.Point{}, draw.Src)
		draw.CatmullRom.Scale(to, to.Bounds(), from, from.Bounds(), draw.Over, nil)
		var out bytes.Buffer
		if err := jpeg.Encode(&out, to, &jpeg.Options{Quality: 85}); err != nil {
			return nil, err
		}
		if out.Len() <= MaxPicture {
			return out.Bytes(), nil
		}
	}
	return nil, ErrPicture
}
