"""Published lists: from a batch output, an audience and a catalogue to what each person may be mailed."""
