package appliance

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
	"github.com/entroos/entroos/appliance/config"
)

// GetConfig implements AdminService.
func (a *adminServer) GetConfig(context.Context, *connect.Request[entroosv1.GetConfigRequest]) (*connect.Response[entroosv1.GetConfigResponse], error) {
	builtIn, own, problem := a.box.Settings.Texts()
	effective, err := a.box.Config().Marshal()
	if err != nil {
		return nil, apiError(err)
	}
	answer := &entroosv1.GetConfigResponse{BuiltIn: string(builtIn), Own: string(own), Effective: string(effective)}
	if problem != nil {
		answer.Problem = problem.Error()
	}
	return connect.NewResponse(answer), nil
}

// CheckConfig implements AdminService.
func (a *adminServer) CheckConfig(_ context.Context, r *connect.Request[entroosv1.CheckConfigRequest]) (*connect.Response[entroosv1.CheckConfigResponse], error) {
	holds, err := a.box.Settings.Check([]byte(r.Msg.GetYaml()))
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	effective, err := holds.Marshal()
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.CheckConfigResponse{Effective: string(effective)}), nil
}

// SetConfig implements AdminService.
func (a *adminServer) SetConfig(_ context.Context, r *connect.Request[entroosv1.SetConfigRequest]) (*connect.Response[entroosv1.SetConfigResponse], error) {
	a.box.own.Lock()
	defer a.box.own.Unlock()
	own, err := a.edited(r.Msg)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	holds, err := a.box.Settings.Check(own)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, a.wayOut(r.Msg, err))
	}
	effective, err := holds.Marshal()
	if err != nil {
		return nil, apiError(err)
	}
	before := a.box.Config()
	replaced, err := a.box.own.write(own)
	if !replaced {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("the settings are as they were: %w", err))
	}
	a.box.Settings.set(own)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("the new settings hold, but the next boot may not find them: %w; set them again", err))
	}
	return connect.NewResponse(&entroosv1.SetConfigResponse{Effective: string(effective), PendingKeys: pending(before, holds)}), nil
}

// edited is the text that the box's own file is to have.
func (a *adminServer) edited(r *entroosv1.SetConfigRequest) ([]byte, error) {
	if r.GetKey() == "" {
		return []byte(r.GetFile()), nil
	}
	if r.GetFile() != "" {
		return nil, errors.New("set either a file or a key")
	}
	_, own, problem := a.box.Settings.Texts()
	if problem != nil && own == nil { // it could not be read at all
		return nil, a.wayOut(r, problem)
	}
	edited, err := config.Set(config.OwnName, own, r.GetKey(), r.GetValue())
	return edited, a.wayOut(r, err)
}

// wayOut adds to an error with one key of a file that was broken before.
func (a *adminServer) wayOut(r *entroosv1.SetConfigRequest, err error) error {
	if err == nil || r.GetKey() == "" || a.box.Settings.Problem() == "" {
		return err
	}
	return fmt.Errorf("%w\nthe box's own settings are broken; `config unset KEY` takes a key away, `config set --file FILE` replaces them all, "+
		"and `config reset` takes them away", err)
}

// pending names the keys whose new values take effect only with an image that
// was built with them.
func pending(before, after *config.Config) []string {
	var keys []string
	if !slices.Equal(before.Images, after.Images) {
		keys = append(keys, "images")
	}
	if !reflect.DeepEqual(before.Services, after.Services) && slices.ContainsFunc(after.Services, func(s config.Service) bool { return missing(programsPath, s) }) {
		keys = append(keys, "services")
	}
	return keys
}
