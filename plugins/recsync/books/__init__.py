"""Books: find usage that no run recorded, and report what each program cost."""
