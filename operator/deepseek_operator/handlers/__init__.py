"""The controller: kopf wiring, one loop per object, the reconcile recipe."""
