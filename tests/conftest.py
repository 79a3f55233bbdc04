"""What several test files share."""

import pytest
import torch


@pytest.fixture(scope="module")
def on_the_cpu():
    """One thread of the CPU, where equal bits are promised, and an error from whatever torch cannot repeat exactly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
