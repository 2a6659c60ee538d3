package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"image"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
)

// eyes is somebody who looks at a screen and has fingers: what is measured is what
// a person would see, from a real key to the pixels that change.
type eyes struct {
	conn *xgb.Conn
	root xproto.Window
	keys map[xproto.Keysym]xproto.Keycode
	seed maphash.Seed
}

// lookEvery is how often a part of the screen is looked at, and so how exact times
// are.
const lookEvery = time.Millisecond

func openEyes(display string) (*eyes, error) {
	conn, err := xgb.NewConnDisplay(display)
	if err != nil {
		return nil, fmt.Errorf("display %s: %w", display, err)
	}
	if err := xtest.Init(conn); err != nil {
		conn.Close()
		return nil, err
	}
	setup := xproto.Setup(conn)
	e := &eyes{conn: conn, root: setup.DefaultScreen(conn).Root, keys: map[xproto.Keysym]xproto.Keycode{}, seed: maphash.MakeSeed()}
	count := byte(setup.MaxKeycode - setup.MinKeycode + 1)
	m, err := xproto.GetKeyboardMapping(conn, setup.MinKeycode, count).Reply()
	if err != nil {
		conn.Close()
		return nil, err
	}
	for i := range int(count) {
		// The first symbol is the one without Shift.
		symbol := m.Keysyms[i*int(m.KeysymsPerKeycode)]
		if _, ok := e.keys[symbol]; !ok && symbol != 0 {
			e.keys[symbol] = setup.MinKeycode + xproto.Keycode(i)
		}
	}
	return e, nil
}

func (e *eyes) close() { e.conn.Close() }

// Symbols of keys that are no letters.
const (
	keyAlt  xproto.Keysym = 0xffe9
	wheelUp byte          = 4
)

// press presses keys together, and lets them go.
func (e *eyes) press(symbols ...xproto.Keysym) error {
	codes := make([]byte, 0, len(symbols))
	for _, s := range symbols {
		code, ok := e.keys[s]
		if !ok {
			return fmt.Errorf("the keyboard has no key for %#x", s)
		}
		codes = append(codes, byte(code))
	}
	var errs []error
	for _, c := range codes {
		errs = append(errs, e.fake(xproto.KeyPress, c, image.Point{}))
	}
	for i := len(codes) - 1; i >= 0; i-- {
		errs = append(errs, e.fake(xproto.KeyRelease, codes[i], image.Point{}))
	}
	return errors.Join(errs...)
}

// click clicks a button of the mouse at a place; the wheel is buttons too.
func (e *eyes) click(button byte, at image.Point) error {
	return errors.Join(e.fake(xproto.MotionNotify, 0, at), e.fake(xproto.ButtonPress, button, at), e.fake(xproto.ButtonRelease, button, at))
}

func (e *eyes) fake(kind, detail byte, at image.Point) error {
	return xtest.FakeInputChecked(e.conn, kind, detail, 0, e.root, int16(at.X), int16(at.Y), 0).Check() //nolint:gosec // places on a screen
}

// look gives a fingerprint of a part of the screen.
func (e *eyes) look(at image.Rectangle) (uint64, error) {
	pixels, err := e.pixels(at)
	return maphash.Bytes(e.seed, pixels), err
}

// pixels gives a part of the screen, with pixelBytes for each pixel.
func (e *eyes) pixels(at image.Rectangle) ([]byte, error) {
	reply, err := xproto.GetImage(e.conn, xproto.ImageFormatZPixmap, xproto.Drawable(e.root),
		int16(at.Min.X), int16(at.Min.Y), uint16(at.Dx()), uint16(at.Dy()), ^uint32(0)).Reply() //nolint:gosec // places on a screen
	if err != nil {
		return nil, fmt.Errorf("look at the screen: %w", err)
	}
	return reply.Data, nil
}

const pixelBytes = 4

// something waits until a part of the screen has more than one colour.
func (e *eyes) something(ctx context.Context, at image.Rectangle) error {
	for {
		pixels, err := e.pixels(at)
		if err != nil {
			return err
		}
		if !bytes.Equal(pixels[pixelBytes:], pixels[:len(pixels)-pixelBytes]) {
			return nil
		}
		if err := pause(ctx, lookEvery); err != nil {
			return fmt.Errorf("there is nothing on the screen at %v: %w", at, err)
		}
	}
}

// change waits until a part of the screen looks otherwise than before, and gives
// when.
func (e *eyes) change(ctx context.Context, at image.Rectangle, before uint64) (time.Time, error) {
	for {
		now, err := e.look(at)
		if err != nil {
			return time.Time{}, err
		}
		if now != before {
			return time.Now(), nil
		}
		if err := pause(ctx, lookEvery); err != nil {
			return time.Time{}, fmt.Errorf("nothing changed on the screen at %v: %w", at, err)
		}
	}
}

// settle waits until a part of the screen has changed and then stayed the same for
// a while, and gives when it changed last.
func (e *eyes) settle(ctx context.Context, at image.Rectangle, before uint64, still time.Duration) (time.Time, error) {
	last, err := e.change(ctx, at, before)
	if err != nil {
		return last, err
	}
	now, err := e.look(at)
	for err == nil && time.Since(last) < still {
		if err = pause(ctx, lookEvery); err != nil {
			break
		}
		var next uint64
		if next, err = e.look(at); next != now {
			now, last = next, time.Now()
		}
	}
	return last, err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
