package appliance

import (
	"context"

	"connectrpc.com/connect"

	entroosv1 "github.com/entroos/entroos/api/entroos/v1"
)

// PruneImages implements AdminService.
func (a *adminServer) PruneImages(ctx context.Context, _ *connect.Request[entroosv1.PruneImagesRequest]) (*connect.Response[entroosv1.PruneImagesResponse], error) {
	_, engine, err := a.workloads()
	if err != nil {
		return nil, err
	}
	removed, freed, err := engine.PruneImages(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&entroosv1.PruneImagesResponse{Removed: removed, FreedBytes: freed}), nil
}
