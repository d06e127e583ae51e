"""Parts of Nordic's nRF52840."""
