// Package controlpb is the control API of the core, as control.proto says it.
package controlpb

import "google.golang.org/genproto/googleapis/rpc/errdetails"

// ReasonOf gives a reason as it stands beside sentences that are not errors; nil for
// nil.
func ReasonOf(info *errdetails.ErrorInfo) *Reason {
	if info == nil {
		return nil
	}
	return &Reason{Reason: info.GetReason(), Domain: info.GetDomain(), Metadata: info.GetMetadata()}
}
