"""Answer the operations of the control plane; each module has those of one kind of resource."""
