package control

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// GetStatus implements controlpb.ControlServer.
func (s *Server) GetStatus(ctx context.Context, _ *controlpb.GetStatusRequest) (*controlpb.Status, error) {
	return s.cfg.Core.Status(ctx), nil
}

// Shutdown implements controlpb.ControlServer.
func (s *Server) Shutdown(context.Context, *controlpb.ShutdownRequest) (*controlpb.ShutdownResponse, error) {
	s.cfg.Core.Shutdown()
	return &controlpb.ShutdownResponse{}, nil
}

// LogIn implements controlpb.ControlServer.
func (s *Server) LogIn(ctx context.Context, req *controlpb.LogInRequest) (*controlpb.LogInResponse, error) {
	return s.cfg.Core.LogIn(ctx, req)
}

// LogOut implements controlpb.ControlServer.
func (s *Server) LogOut(ctx context.Context, _ *controlpb.LogOutRequest) (*controlpb.LogOutResponse, error) {
	return &controlpb.LogOutResponse{}, s.cfg.Core.LogOut(ctx)
}

// Unlock implements controlpb.ControlServer.
func (s *Server) Unlock(ctx context.Context, req *controlpb.UnlockRequest) (*controlpb.UnlockResponse, error) {
	return &controlpb.UnlockResponse{}, s.cfg.Core.Unlock(ctx, req.GetPassphrase())
}

// SetProfile implements controlpb.ControlServer.
func (s *Server) SetProfile(ctx context.Context, req *controlpb.SetProfileRequest) (*controlpb.SetProfileResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	return &controlpb.SetProfileResponse{}, a.SetProfile(ctx, req)
}

// ChangePassword implements controlpb.ControlServer.
func (s *Server) ChangePassword(ctx context.Context, req *controlpb.ChangePasswordRequest) (*controlpb.ChangePasswordResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	return &controlpb.ChangePasswordResponse{}, a.ChangePassword(ctx, req.GetOldPassword(), req.GetNewPassword())
}

// DeleteAccount implements controlpb.ControlServer.
func (s *Server) DeleteAccount(ctx context.Context, req *controlpb.DeleteAccountRequest) (*controlpb.DeleteAccountResponse, error) {
	return &controlpb.DeleteAccountResponse{}, s.cfg.Core.DeleteAccount(ctx, req.GetPassword())
}

// ListPlugins implements controlpb.ControlServer.
func (s *Server) ListPlugins(ctx context.Context, _ *controlpb.ListPluginsRequest) (*controlpb.ListPluginsResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	plugins, err := a.Plugins.List(ctx)
	return &controlpb.ListPluginsResponse{Plugins: plugins}, err
}

// SetPlugin implements controlpb.ControlServer.
func (s *Server) SetPlugin(ctx context.Context, req *controlpb.SetPluginRequest) (*controlpb.Plugin, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	if err := a.Plugins.SetEnabled(ctx, req.GetName(), req.GetEnabled(), req.GetSha256()); err != nil {
		return nil, err
	}
	return a.Plugins.Plugin(ctx, req.GetName())
}

// RestartPlugin implements controlpb.ControlServer.
func (s *Server) RestartPlugin(ctx context.Context, req *controlpb.RestartPluginRequest) (*controlpb.Plugin, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	if err := a.Plugins.Restart(ctx, req.GetName()); err != nil {
		return nil, err
	}
	return a.Plugins.Plugin(ctx, req.GetName())
}

// GetSettings implements controlpb.ControlServer.
func (s *Server) GetSettings(ctx context.Context, req *controlpb.GetSettingsRequest) (*controlpb.Settings, error) {
	return s.settings(ctx, req.GetPlugin())
}

// SetSetting implements controlpb.ControlServer.
func (s *Server) SetSetting(ctx context.Context, req *controlpb.SetSettingRequest) (*controlpb.Settings, error) {
	var err error
	if req.GetPlugin() == "" {
		err = s.cfg.Core.SetSetting(ctx, req.GetName(), req.GetValue())
	} else {
		var a Account
		if a, err = s.account(); err == nil {
			err = a.Plugins.SetSetting(ctx, req.GetPlugin(), req.GetName(), req.GetValue())
		}
	}
	if err != nil {
		return nil, err
	}
	return s.settings(ctx, req.GetPlugin())
}

func (s *Server) settings(ctx context.Context, plugin string) (*controlpb.Settings, error) {
	if plugin == "" {
		return s.cfg.Core.Settings(ctx)
	}
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	return a.Plugins.Settings(ctx, plugin)
}

// Invoke implements controlpb.ControlServer.
func (s *Server) Invoke(req *controlpb.InvokeRequest, stream controlpb.Control_InvokeServer) error {
	a, err := s.account()
	if err != nil {
		return err
	}
	if req.GetRequest() == nil {
		return invalid("an invoke without a request")
	}
	updates := invokeUpdates{stream: stream}
	result, err := a.Plugins.Invoke(stream.Context(), req.GetPlugin(), req.GetRequest(), updates.send)
	if err != nil {
		return err
	}
	updates.end()
	if err := stream.Send(&controlpb.InvokeResponse{Response: &controlpb.InvokeResponse_Result{Result: result}}); err != nil {
		return fmt.Errorf("answer invoke: %w", err)
	}
	return nil
}

// Diagnose implements controlpb.ControlServer.
func (s *Server) Diagnose(req *controlpb.DiagnoseRequest, stream controlpb.Control_DiagnoseServer) error {
	user, err := optionalUser(req.GetUser())
	if err != nil {
		return err
	}
	return s.cfg.Core.Diagnose(stream.Context(), user, stream.Send)
}
