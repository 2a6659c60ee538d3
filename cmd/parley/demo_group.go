package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	demoHello    = "Hello everybody!"
	demoReaction = "🎉"
)

// group has three people chat of whom two do not know each other.
func (s *script) group() error {
	s.people = append(s.people, s.carol)
	if err := s.begin(s.carol); err != nil {
		return err
	}
	if err := s.befriend(s.carol, s.bob, "Hi Bob, Carol here"); err != nil {
		return err
	}
	g := *s
	for _, part := range []struct {
		what string
		do   func() (string, error)
	}{
		{"bob makes a group with both", g.makeGroup},
		{"alice and carol join, who do not know each other", g.join},
		{"carol writes, all have it, and alice reacts", g.react},
		{"alice sends the picture to the group", g.picture},
	} {
		if err := s.step(part.what, part.do); err != nil {
			return err
		}
	}
	return nil
}

func (s *script) makeGroup() (string, error) {
	result, err := s.bob.client.InvokeAction(s.ctx, "group", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "create", Text: "Reading circle", Args: map[string]string{"users": "alice carol"},
	}, nil)
	if err != nil {
		return "", err
	}
	var made struct {
		Chat string `json:"chat"`
	}
	if err := json.Unmarshal(result.GetResult(), &made); err != nil {
		return "", fmt.Errorf("read what the group plugin answers: %w", err)
	}
	s.chat = made.Chat
	return "“Reading circle”", nil
}

func (s *script) join() (string, error) {
	for _, p := range []*person{s.alice, s.carol} {
		err := s.until(s.ctx, p.name+" is invited", func() (bool, error) {
			resp, err := p.client.ListChats(s.ctx, &controlpb.ListChatsRequest{})
			for _, c := range resp.GetChats() {
				if c.GetId() == s.chat && c.GetTitle() != "" {
					return true, nil
				}
			}
			return false, err
		})
		if err != nil {
			return "", err
		}
		if _, err := p.client.InvokeAction(s.ctx, "group", &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "accept", Chat: s.chat}, nil); err != nil {
			return "", err
		}
	}
	return "their machines connect, too", s.linked(s.alice, "carol")
}

func (s *script) react() (string, error) {
	id, err := s.send(s.carol, demoHello)
	if err != nil {
		return "", err
	}
	start := time.Now()
	for _, p := range []*person{s.alice, s.bob} {
		if err := s.arrives(p, id, demoHello); err != nil {
			return "", err
		}
	}
	shown := time.Since(start)
	if err := s.reaches(s.carol, id, controlpb.Delivery_DELIVERY_DELIVERED); err != nil {
		return "", err
	}
	_, err = s.alice.client.InvokeAction(s.ctx, emojiPlugin, &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "react", Chat: s.chat, Message: id, Text: demoReaction,
	}, nil)
	if err != nil {
		return "", err
	}
	for _, p := range []*person{s.bob, s.carol} {
		if err := s.until(s.ctx, p.name+" sees the reaction", func() (bool, error) {
			m, err := oneMessage(s.ctx, p.client, s.chat, id)
			for _, an := range m.GetAnnotations() {
				if an.GetAuthor() == s.alice.name && an.GetKind() == reactionKind+demoReaction {
					return true, nil
				}
			}
			return false, err
		}); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%q, shown to both %s after it was queued; %s", demoHello, milliseconds(shown), demoReaction), nil
}

func (s *script) picture() (string, error) {
	path := filepath.Join(s.folder, "sunset.png")
	downloads := filepath.Join(s.folder, "carol's downloads")
	_, err := s.carol.client.SetSetting(s.ctx, &controlpb.SetSettingRequest{Plugin: filePlugin, Name: "download-folder", Value: downloads})
	if err != nil {
		return "", fmt.Errorf("carol chooses a folder for downloads: %w", err)
	}
	id, err := s.offer(s.alice, path)
	if err != nil {
		return "", err
	}
	return s.accept(s.carol, s.alice, id, path, downloads)
}
