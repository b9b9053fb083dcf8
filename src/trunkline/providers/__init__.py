"""Who can answer a chat call: one adapter per dialect, one provider per address."""
