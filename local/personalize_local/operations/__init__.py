"""Operations of the control plane, grouped by resource."""
