"""What weight decay minimises: path norms, neural balance, Radon-domain variation, few neurons."""
